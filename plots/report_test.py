"""Tests of the figures and the report over testdata/sample: invented numbers in the documented format, no result.

Run by ctest, or as /usr/bin/python3 plots/report_test.py.
"""
import contextlib
import io
import json
import os
import re
import shutil
import statistics
import sys
import tempfile
import unittest
from html.parser import HTMLParser

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import comparison  # noqa: E402
import cpu_per_op  # noqa: E402
import formats  # noqa: E402
import gain  # noqa: E402
import latency_cdf  # noqa: E402
import latency_load  # noqa: E402
import report  # noqa: E402
import results  # noqa: E402
import style  # noqa: E402
import throughput_clients  # noqa: E402

SAMPLE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "testdata", "sample")
FIGURES = [throughput_clients, latency_load, latency_cdf, cpu_per_op, gain]
VOID = {"meta", "br", "link", "img", "hr", "input"}


def lines_of(folder):
    with open(os.path.join(folder, "points.jsonl"), encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def called(main, *arguments):
    """(exit status, standard error) of a command."""
    errors = io.StringIO()
    with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
        status = main(list(arguments))
    return status, errors.getvalue()


def figure_of(module):
    """The main function of a figure's script."""
    return lambda arguments: style.figure_main(module, arguments)


class Page(HTMLParser):
    """What the tests want to know of an HTML page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.references, self.ids, self.open, self.unbalanced = [], [], [], [], []
        self.rows, self.text = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append((tag, attributes))
        self.references += [attributes[name] for name in ("src", "href", "xlink:href", "srcset", "data", "action")
                            if name in attributes]
        if "id" in attributes:
            self.ids.append(attributes["id"])
        if tag == "tr":
            self.rows.append([])
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.unbalanced.append(tag)

    def handle_data(self, data):
        self.text.append(data)
        if self.rows and "tr" in self.open:
            self.rows[-1].append(data.strip())


class FolderTest(unittest.TestCase):
    def setUp(self):
        self.folder = os.path.join(tempfile.mkdtemp(), "results")
        shutil.copytree(SAMPLE, self.folder)
        self.addCleanup(shutil.rmtree, os.path.dirname(self.folder))

    def rewrite(self, keep=lambda line: True, change=lambda line: line):
        """Writes points.jsonl anew with the lines that `keep` wants, changed."""
        lines = [change(line) for line in lines_of(self.folder) if keep(line)]
        with open(os.path.join(self.folder, "points.jsonl"), "w", encoding="utf-8") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)
        return lines

    def write(self, name, text):
        with open(os.path.join(self.folder, name), "w", encoding="utf-8") as file:
            file.write(text)

    def report(self):
        status, errors = called(report.main, self.folder)
        self.assertEqual((status, errors), (0, ""))
        with open(os.path.join(self.folder, "report.html"), encoding="utf-8") as file:
            return file.read()


def plain_report():
    """The page of the sample as it is, for all tests that only look at it."""
    return report.page(results.load(SAMPLE))


PLAIN = plain_report()


class ReadingTest(FolderTest):
    def test_groups_hold_median_and_range_of_the_repeats(self):
        # Given the sample, expect each group's statistics to be those of its lines.
        data = results.load(self.folder)
        for group in data.groups:
            values = [line["metrics"]["throughput_ops_per_s"] for line in lines_of(self.folder)
                      if line["world"] == group.world and line["params"] == group.params]
            stat = group.stat("throughput_ops_per_s")
            self.assertEqual((stat.median, stat.low, stat.high, stat.count),
                             (statistics.median(values), min(values), max(values), 2))
        self.assertEqual((len(data.groups), data.points, data.notes), (24, 48, []))

    def test_a_last_line_cut_anywhere_is_left_out_and_noted(self):
        # Given points.jsonl cut at each of many places inside its last line, expect all other points and one note.
        with open(os.path.join(SAMPLE, "points.jsonl"), encoding="utf-8") as file:
            text = file.read()
        start = text.rindex("\n", 0, len(text) - 1) + 1
        for end in list(range(start + 1, len(text) - 1, 97)) + [len(text) - 1]:
            self.write("points.jsonl", text[:end])
            data = results.load(self.folder)
            self.assertEqual(data.points, 47)
            self.assertIn("incomplete", " ".join(data.notes))

    def test_a_point_run_again_counts_once_with_its_last_line(self):
        # Given the first line again with another value, expect as many points, and that value.
        first = lines_of(self.folder)[0]
        again = json.loads(json.dumps(first))
        again["metrics"]["throughput_ops_per_s"] = 123.0
        with open(os.path.join(self.folder, "points.jsonl"), "a", encoding="utf-8") as file:
            file.write(json.dumps(again) + "\n")
        data = results.load(self.folder)
        self.assertEqual(data.points, 48)
        self.assertEqual(data.groups[0].stat("throughput_ops_per_s").low, 123.0)

    def test_quantities_compare_by_size(self):
        # Given quantities as specs write them, expect base units; words are no quantities.
        for text, value in (("8 MiB", 8 * 2**20), ("100 us", 1e-4), ("200 kops/s", 2e5), ("1.5 Mops/s", 1.5e6),
                            (64, 64.0)):
            self.assertAlmostEqual(results.quantity(text), value)
        for text in ("tailwind", "ycsb-a", True, None, ""):
            self.assertIsNone(results.quantity(text))

    def test_numbers_keep_three_digits(self):
        for value, text in ((0, "0"), (1234567.0, "1,234,567"), (123.4, "123"), (12.34, "12.3"), (1.234, "1.23"),
                            (0.01234, "0.0123"), (9.999, "10.0"), (0.00012, "0.000120"), (0.0000512, "0.000051"),
                            (1.2e-9, "1.2e-09"), (float("nan"), "–")):
            self.assertEqual(formats.digits(value), text)
        self.assertEqual([formats.rate(value) for value in (2.345e6, 412000.0, 12.0)], ["2.35 M", "412 k", "12.0"])


class BadInputTest(FolderTest):
    def expect_refusal(self, folder, *words):
        for main, more in [(report.main, ())] + [(figure_of(module), ("--out", folder + ".svg")) for module in FIGURES]:
            status, errors = called(main, folder, *more)
            self.assertEqual(status, 2)
            self.assertEqual(errors.count("\n"), 1, errors)
            for word in words:
                self.assertIn(word, errors)

    def test_no_folder_or_an_empty_one(self):
        self.expect_refusal(os.path.join(self.folder, "nothing"), "no such folder")
        os.mkdir(os.path.join(self.folder, "empty"))
        self.expect_refusal(os.path.join(self.folder, "empty"), "spec.json", "not found")

    def test_no_point(self):
        self.write("points.jsonl", "")
        self.expect_refusal(self.folder, "no finished point")

    def test_damage_inside(self):
        # Given a bad line that is not the last, or a spec that is no JSON, expect the place.
        with open(os.path.join(self.folder, "points.jsonl"), encoding="utf-8") as file:
            text = file.read()
        self.write("points.jsonl", "{oops\n" + text)
        self.expect_refusal(self.folder, "points.jsonl", "line 1")
        self.write("points.jsonl", text)
        self.write("spec.json", '{"name": }')
        self.expect_refusal(self.folder, "spec.json", "line 1", "column 10")

    def test_a_figure_that_does_not_apply(self):
        # Given a single load, expect the latency figure to say what it takes.
        self.rewrite(lambda line: line["params"]["workload.outstanding"] == 8)
        status, errors = called(figure_of(latency_load), self.folder, "--out", self.folder + ".svg")
        self.assertEqual(status, 2)
        self.assertIn("at least two loads", errors)


class FigureTest(FolderTest):
    def draw(self, module, panel):
        figure, axes = style.plt.subplots()
        self.addCleanup(style.plt.close, figure)
        module.draw(axes, panel)
        return axes

    def test_throughput_shows_the_medians_from_zero(self):
        data = results.load(self.folder)
        panels = throughput_clients.panels(data)
        self.assertEqual(len(panels), 4)
        self.assertEqual({panel.axis for panel in panels}, {"workload.outstanding"})
        for facet, panel in zip(results.facets(data, data.axis()), panels):
            for policy, points in panel.curves.items():
                expected = [(group.params["workload.outstanding"], group.median("throughput_ops_per_s"))
                            for group in facet.of(policy)]
                self.assertEqual([(x, stat.median) for x, stat in points], expected)
            axes = self.draw(throughput_clients, panel)
            self.assertEqual(axes.get_ylim()[0], 0)
            self.assertIn("log scale", axes.get_xlabel())
            drawn = {line.get_label(): list(line.get_ydata()) for line in axes.get_lines()}
            for policy, points in panel.curves.items():
                for y, (_, stat) in zip(drawn[policy], points):
                    self.assertAlmostEqual(y * 1e6, stat.median, places=3)

    def test_panels_of_one_place_share_their_scale(self):
        limits = {}
        for panel in throughput_clients.panels(results.load(self.folder)):
            limits.setdefault(panel.grade, set()).add(self.draw(throughput_clients, panel).get_ylim())
        self.assertEqual({grade: len(found) for grade, found in limits.items()}, {"measured": 1, "simulated": 1})

    def test_latency_is_that_of_writes_where_reads_are_mixed_in(self):
        data = results.load(self.folder)
        panels = latency_load.panels(data)
        self.assertEqual([panel.operation for panel in panels], ["", "update", "", "update"])
        mixed = results.facets(data, "workload.outstanding")[1]
        self.assertEqual([load.p99.median for load in panels[1].curves["rpc"]],
                         [group.median("update_latency_us_p99") for group in mixed.of("rpc")])
        axes = self.draw(latency_load, panels[1])
        self.assertEqual(axes.get_yscale() == "log", "log scale" in axes.get_ylabel())

    def test_latency_without_spread_starts_at_zero(self):
        def flat(line):
            line["metrics"]["latency_us_p99"] = line["metrics"]["latency_us_p50"] = 10.0
            return line
        self.rewrite(lambda line: line["params"]["workload.name"] == "write-only", flat)
        axes = self.draw(latency_load, latency_load.panels(results.load(self.folder))[0])
        self.assertEqual((axes.get_yscale(), axes.get_ylim()[0]), ("linear", 0))

    def test_open_loop_marks_loads_that_were_not_met(self):
        # Given a swept rate of which the highest is not served, expect that point alone to be marked.
        rates = {1: "100 kops/s", 8: "200 kops/s", 64: "90 Mops/s"}

        def offered(line):
            outstanding = line["params"].pop("workload.outstanding")
            line["params"]["workload.rate"] = rates[outstanding]
            return line
        self.rewrite(lambda line: line["world"] == "emulate", offered)
        data = results.load(self.folder)
        self.assertEqual((data.axis(), data.load_path()), ("workload.rate", "workload.rate"))
        for panel in latency_load.panels(data):
            self.assertEqual([load.met for load in panel.curves["rpc"]], [True, True, False])

    def test_cpu_bars_are_the_medians_by_role_from_zero(self):
        data = results.load(self.folder)
        for facet, panel in zip(results.facets(data, data.axis()), cpu_per_op.panels(data)):
            self.assertEqual(len(panel.bars), 6)
            for group in facet.groups:
                shares = next(shares for x, policy, shares in panel.bars
                              if (x, policy) == (group.params["workload.outstanding"], group.policy))
                self.assertEqual(shares, {role: group.median(f"{role}_cpu_ns_per_op") for role in cpu_per_op.ROLES
                                          if group.median(f"{role}_cpu_ns_per_op") is not None})
            self.assertEqual(self.draw(cpu_per_op, panel).get_xlim()[0], 0)

    def test_distribution_merges_repeats_and_falls_from_one(self):
        data = results.load(self.folder)
        panels = latency_cdf.panels(data)
        self.assertEqual(len(panels), 4)
        for panel in panels:
            for curve in panel.curves.values():
                shares = [share for _, share in curve]
                self.assertEqual(shares[0], 1.0)
                self.assertEqual(shares, sorted(shares, reverse=True))
                self.assertAlmostEqual(shares[-1], 1 / 800)  # two repeats of 400 operations
            axes = self.draw(latency_cdf, panel)
            self.assertIn("log scale", axes.get_xlabel() + axes.get_ylabel())

    def test_every_panel_is_stamped_with_its_grade(self):
        data = results.load(self.folder)
        for module in FIGURES[:-1]:
            for panel in module.panels(data):
                self.assertIn(panel.grade, [text.get_text() for text in self.draw(module, panel).texts])
        panel = gain.panels(data)[0]
        legend = [text.get_text() for text in self.draw(gain, panel).get_legend().get_texts()]
        self.assertEqual(sorted(legend), ["measured", "recalled, unverified", "simulated"])

    def test_policies_keep_their_colour_whatever_else_is_shown(self):
        data = results.load(self.folder)
        both = self.draw(throughput_clients, throughput_clients.panels(data)[0]).get_lines()
        self.rewrite(lambda line: line["params"]["replication.policy"] == "tailwind")
        alone = self.draw(throughput_clients, throughput_clients.panels(results.load(self.folder))[0]).get_lines()
        self.assertEqual({line.get_label(): line.get_color() for line in both}["tailwind"], alone[0].get_color())

    def test_scripts_write_one_svg_and_the_same_bytes_again(self):
        for module in FIGURES:
            texts = []
            for name in ("a.svg", "b.svg"):
                path = os.path.join(self.folder, name)
                self.assertEqual(called(figure_of(module), self.folder, "--out", path), (0, ""))
                with open(path, encoding="utf-8") as file:
                    texts.append(file.read())
            self.assertEqual(texts[0], texts[1])
            self.assertIn("<svg", texts[0])


class GainTest(FolderTest):
    def test_ratio_of_peaks_and_of_each_load(self):
        data = results.load(self.folder)
        for one in comparison.gains(data):
            peaks = {policy: max(group.median("throughput_ops_per_s") for group in one.facet.of(policy))
                     for policy in ("rpc", "tailwind")}
            self.assertAlmostEqual(one.throughput.value, peaks["tailwind"] / peaks["rpc"])
            self.assertLessEqual(one.throughput.low, one.throughput.value)
            self.assertGreaterEqual(one.throughput.high, one.throughput.value)
            self.assertEqual([pair.x for pair in one.pairs], [1, 8, 64])

    def test_what_is_no_load_is_not_folded_into_a_peak(self):
        # Given a swept replication factor instead of a load, expect one gain for each factor.
        def factor(line):
            line["params"]["replication.factor"] = {1: 1, 8: 2, 64: 3}[line["params"].pop("workload.outstanding")]
            return line
        self.rewrite(lambda line: line["world"] == "sim" and line["params"]["workload.name"] == "write-only", factor)
        found = comparison.gains(results.load(self.folder))
        self.assertEqual([dict(one.facet.extras)["replication.factor"] for one in found], ["1", "2", "3"])

    def test_an_open_loop_that_overloads_nobody_states_no_ratio(self):
        # Given rates swept instead of requests outstanding: none too much for either, too much for rpc alone, for both.
        for highest, served_by, bound in (("100 kops/s", ("rpc", "tailwind"), None), ("90 Mops/s", ("tailwind",), "≥ "),
                                          ("90 Mops/s", (), "")):
            shutil.copy(os.path.join(SAMPLE, "points.jsonl"), self.folder)
            rates = {1: "50 kops/s", 8: "60 kops/s", 64: highest}

            def offered(line):
                line["params"]["workload.rate"] = rates[line["params"].pop("workload.outstanding")]
                if highest == "90 Mops/s" and line["params"]["replication.policy"] in served_by:
                    line["metrics"]["throughput_ops_per_s"] = 90e6
                return line
            self.rewrite(lambda line: line["world"] == "sim" and "write-only" in line["params"].values(), offered)
            found = comparison.gains(results.load(self.folder))
            self.assertEqual([one.bound for one in found], [bound])
            self.assertEqual(len(found[0].p50s), 3 if bound is None else 2)
            self.assertEqual(bool(gain.panels(results.load(self.folder))), bound is not None)

    def test_ticks_never_touch(self):
        labels = {100e3 * n: f"{100 * n} kops/s" for n in (1, 5, 10, 15, 18, 20, 22, 25)}
        shown = style.spaced(sorted(labels), labels, float)
        self.assertTrue({100e3, 2500e3} <= shown)
        self.assertLess(len(shown), len(labels))
        powers = [1, 4, 16, 64]
        self.assertEqual(style.spaced(powers, {n: str(n) for n in powers}, style.math.log2), set(powers))

    def test_published_numbers_carry_a_grade_and_a_source(self):
        numbers = comparison.published()
        self.assertTrue(numbers)
        for number in numbers:
            self.assertIn(number.label, ("published", "recalled, unverified", "derived"))
            self.assertTrue(number.source and number.where and number.unit in ("x", "us", "ms"))
        mixed = comparison.gains(results.load(self.folder))[1]
        self.assertEqual([(number.low, number.label) for number in comparison.for_gain(numbers, mixed)],
                         [(1.3, "recalled, unverified")])
        self.rewrite(lambda line: line["params"]["workload.outstanding"] == 1)
        for one in comparison.gains(results.load(self.folder)):
            self.assertEqual(comparison.for_gain(numbers, one), [])


    def test_unloaded_numbers_stand_only_beside_unloaded_runs_over_a_network(self):
        # Given runs with one request outstanding, expect the read latency beside those of the simulator alone; given
        # none, expect no unloaded number at all.
        numbers = comparison.published()
        unloaded = [number for number in numbers if number.compare.get("load") == "unloaded"]
        read = next(number for number in unloaded if number.compare.get("operation") == "read")
        data = results.load(self.folder)
        self.assertEqual([(group.world, group.workload, group.params["workload.outstanding"])
                          for group in comparison.unloaded(read, data)], [("sim", "ycsb-a", 1)] * 2)
        self.rewrite(lambda line: line["params"]["workload.outstanding"] > 1)
        self.assertFalse([number for number in unloaded if comparison.applies(number, results.load(self.folder))])


class ReportTest(FolderTest):
    def test_stands_alone_and_is_well_formed(self):
        text = self.report()
        self.assertEqual(text, PLAIN)
        page = Page(text)
        self.assertEqual((page.open, page.unbalanced), ([], []))
        self.assertFalse([reference for reference in page.references if not reference.startswith("#")])
        self.assertFalse({"script", "link", "iframe", "img", "object"} & {tag for tag, _ in page.tags})
        self.assertNotIn("@import", text)
        self.assertNotRegex(text, r"url\((?!#)")
        self.assertNotIn("http:", text)
        self.assertNotIn("https:", text)
        self.assertEqual(len(page.ids), len(set(page.ids)))
        self.assertTrue({reference[1:] for reference in page.references} <= set(page.ids))
        self.assertEqual(sorted(os.listdir(self.folder)), sorted(os.listdir(SAMPLE) + ["report.html"]))

    def test_has_a_row_for_each_setting(self):
        data = results.load(self.folder)
        rows = Page(PLAIN).rows
        for group in data.groups:
            wanted = [group.workload, str(group.params["workload.outstanding"]), group.policy]
            for value in (group.median("throughput_ops_per_s") / 1e6, group.median("backup_copied_bytes_per_op")):
                text = formats.digits(value)
                self.assertTrue(any(row[:3] == wanted and text in row for row in rows), wanted + [text])

    def test_has_each_figure_with_words_for_those_who_do_not_see_it(self):
        data = results.load(self.folder)
        page = Page(PLAIN)
        pictures = [attributes for tag, attributes in page.tags if tag == "svg"]
        self.assertEqual(len(pictures), sum(len(module.panels(data)) for module in FIGURES))
        for attributes in pictures:
            self.assertEqual(attributes["role"], "img")
            self.assertTrue(set(attributes["aria-labelledby"].split()) <= set(page.ids))
        for tag, attributes in page.tags:
            if tag == "th":
                self.assertIn(attributes["scope"], ("col", "row"))

    def test_tells_grades_claims_place_and_rule(self):
        for words in ("recalled, unverified", "published", "simulated", "measured", "all 3 backups", "virtual time",
                      "wall clock", "connectx3-fdr-r320", "shm, packed", "TEST DATA, no result", "not committed",
                      "tailwind/rpc throughput &gt;= 1.2", '<span class="held">holds</span>'):
            self.assertIn(words, PLAIN)

    def test_shm_figures_carry_the_note_and_only_they(self):
        data = results.load(self.folder)
        measured = sum(panel.grade == "measured" for module in FIGURES[:-1] for panel in module.panels(data)) + 1
        self.assertEqual(PLAIN.count(style.SHM_NOTE), measured)
        self.rewrite(lambda line: line["world"] == "sim")
        self.assertNotIn(style.SHM_NOTE, self.report())

    def test_one_policy_alone_states_no_gain(self):
        self.rewrite(lambda line: line["params"]["replication.policy"] == "rpc")
        text = self.report()
        self.assertIn("no gain is stated", text)
        self.assertIn(style.SHM_NOTE, text)

    def test_a_hunt_for_harm_tells_its_harm_first(self):
        def harmed(line):
            line["metrics"] = {"scenarios": 50, "harmed_scenarios": 7, "lost_scenarios": 7}
            line["params"]["swarm.fault"] = "torn-write"
            return line
        self.rewrite(lambda line: line["world"] == "sim" and line["params"]["replication.policy"] == "rpc", harmed)
        key = self.report().split('id="key"')[1].split("<h2")[0]
        self.assertIn("Scenarios with harm: rpc 7 of 50", key)
        self.assertNotIn("gain", key)

    def test_a_policy_that_completed_nothing_has_no_ratio(self):
        def stalled(line):
            if line["params"]["replication.policy"] == "rpc":
                line["metrics"]["throughput_ops_per_s"] = 0
            return line
        self.rewrite(change=stalled)
        self.assertIn("no ratio", self.report())

    def test_without_a_swept_count_bars_stand_for_curves(self):
        def named_only(line):
            del line["params"]["workload.outstanding"]
            return line
        self.rewrite(lambda line: line["params"]["workload.outstanding"] == 64, named_only)
        data = results.load(self.folder)
        self.assertEqual([panel.axis for panel in throughput_clients.panels(data)], [None] * 4)
        self.assertEqual(latency_load.panels(data), [])
        self.assertEqual(len(re.findall("<figure>", self.report())), 4 + 4 + 4 + 1)

    def test_text_of_a_spec_is_never_markup(self):
        spec = results.load(self.folder).spec
        spec["name"] = spec["description"] = '</title><script>alert("x")</script>'
        self.write("spec.json", json.dumps(spec))
        text = self.report()
        self.assertNotIn("<script", text)
        self.assertEqual(Page(text).unbalanced, [])

    def test_wrong_reads_and_failed_operations_stand_at_the_top(self):
        def wrong(line):
            line["metrics"].update(wrong_reads=1, failed_ops=2)
            return line
        self.assertNotIn('class="danger"', PLAIN)
        self.rewrite(lambda line: line["repeat"] == 0 and line["world"] == "sim", wrong)
        top = self.report().split("<h2")[0]
        self.assertIn("12 reads returned a value that was never written", top)
        self.assertIn("24 operations were answered with an error", top)

    def test_says_when_the_run_was_cut_short(self):
        with open(os.path.join(self.folder, "points.jsonl"), "a", encoding="utf-8") as file:
            file.write('{"point": "00')
        self.assertIn("The last line of points.jsonl is incomplete", self.report())

    def test_says_what_the_spec_asks_for_and_is_not_there(self):
        self.rewrite(lambda line: line["world"] == "sim"
                     and (line["repeat"], line["params"]["workload.outstanding"]) != (1, 8))
        text = self.report()
        self.assertIn("No point of the world emulate is here", text)
        self.assertIn("4 of 12 settings have fewer than the 2 repeats", text)
        self.assertNotIn("fewer than", PLAIN)

    def test_claims_never_checked_are_not_told_as_held(self):
        os.remove(os.path.join(self.folder, "expect.json"))
        rows = Page(self.report()).rows
        self.assertIn(["tailwind/rpc throughput >= 1.2", "not checked", "–"], rows)


if __name__ == "__main__":
    unittest.main()
