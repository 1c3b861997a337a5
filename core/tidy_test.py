"""The source test: what style and architecture ask of the source tree and a compiler does not check.

Usage: tidy_test.py SOURCE_ROOT. Plants each violation in a tree of its own first and expects it to be found
(tidy_selftest.py), then checks the tree at SOURCE_ROOT. Exit status 1 when anything is found.

A file or function over its length says why in a comment that contains "Longer than usual:", at the top of the file or
directly above (or at the start of) the function.
"""

import ast
import os
import re
import sys

LINE_LIMIT = 120
HEADER_LIMIT = 200
FILE_LIMIT = 800
FUNCTION_LIMIT = 70
REASON = "Longer than usual:"

SKIPPED_FOLDERS = {"build", "results", "__pycache__", ".git", ".cache", ".vscode", ".idea"}
CODE = (".h", ".cc", ".py", ".sh", "CMakeLists.txt", ".ci/run", "slipstream")
DOCUMENTS = (".md", ".json", ".cff", ".yml", ".yaml", ".toml", "Dockerfile")

# In core and sim. Headers, then names; both looked for outside comments and strings.
FORBIDDEN_HEADERS = {
    "a clock": r"chrono|ctime|time\.h|sys/time\.h|x86intrin\.h",
    "a thread": r"thread|(shared_)?mutex|condition_variable|future|atomic|semaphore|barrier|latch|pthread\.h",
    "a socket": r"sys/socket\.h|sys/un\.h|netinet/.*|arpa/.*|netdb\.h|poll\.h|sys/epoll\.h|sys/eventfd\.h",
    "a file or the system": r"fstream|filesystem|fcntl\.h|unistd\.h|sys/(mman|stat|types|wait|file)\.h|dirent\.h",
    "another source of randomness": r"random",
}
FORBIDDEN_NAMES = {
    "a clock": r"std::chrono|clock_gettime|gettimeofday|__rdtsc\w*|std::clock\b"
               r"|(?<![\w.>])(?:std::)?time\s*\(\s*(?:nullptr|0|NULL)",
    "a thread": r"std::(?:jthread|thread|mutex|atomic|async|this_thread)\b|pthread_\w+",
    "a sleep": r"\b(?:sleep_for|sleep_until|usleep|nanosleep|sched_yield)\b|(?<![\w.>:])sleep\s*\(",
    "a socket": r"(?<![\w.>:])(?:::)?socket\s*\(|\bgetaddrinfo\b",
    "a file or the system": r"\bfopen\b|std::[io]?fstream\b|std::filesystem\b|\bgetenv\b",
    "another source of randomness":
        r"std::rand\b|\bsrand\b|random_device|\bmt19937|std::\w+_distribution\b|std::shuffle\b",
}

# Spelt in pieces, so that this file passes its own test.
UNFINISHED = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X)\b")
MACHINE = re.compile(r"(?<![\w.])/wo" + r"rk/|/tmp/wo" + r"rk\b|https?://(?:local" + r"host|127\.0\.0\.1)\b")

NOT_CODE = re.compile(
    r'R"(?P<mark>[^(\s"]*)\(.*?\)(?P=mark)"|//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"'
    r"|(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+'",
    re.DOTALL)
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(?:"([^"]+)"|<([^>]+)>)', re.MULTILINE)
MODULE = re.compile(
    r"^slipstream_module\((\S+?)(?:\s+DEPENDS((?:\s+[a-z_/]+)+))?(?:\s+LIBRARIES[^)]*)?\)", re.MULTILINE)
DIRECTIVE = re.compile(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", re.MULTILINE)
NOT_PROSE = re.compile(r"^```.*?^```|`[^`\n]*`", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(\s*<?([^)\s>]+)>?[^)]*\)|^\[[^\]]+\]:\s*(\S+)|(?:src|href)=\"([^\"]+)\"", re.MULTILINE)


class Tree:
    """The files below a root by their path from there, as text; and the modules of CMakeLists.txt."""

    def __init__(self, root):
        self.root = root
        self.files = {}
        for folder, folders, names in os.walk(root):
            folders[:] = sorted(f for f in folders if f not in SKIPPED_FOLDERS and not f.startswith("build-"))
            for name in sorted(names):
                path = os.path.join(folder, name)
                relative = os.path.relpath(path, root)
                if is_one_of(relative, CODE) or is_one_of(relative, DOCUMENTS):
                    with open(path, encoding="utf-8", errors="replace") as file:
                        self.files[relative] = file.read()
        self.code = {path: strip(text) for path, text in self.files.items() if path.endswith((".h", ".cc"))}
        # Folder -> the folders it names after DEPENDS, in the order of the file.
        self.modules = {}
        for match in MODULE.finditer(self.files.get("CMakeLists.txt", "")):
            self.modules[match.group(1)] = (match.group(2) or "").split()

    def reachable(self, folder):
        """The folder and all it depends on."""
        found, open_ends = set(), [folder]
        while open_ends:
            at = open_ends.pop()
            if at not in found:
                found.add(at)
                open_ends += self.modules.get(at, [])
        return found


def is_one_of(path, endings):
    return any(path.endswith(e) if e.startswith(".") and "/" not in e else os.path.basename(path) == e or path == e
               for e in endings)


def strip(text):
    """C++ with comments, strings and characters blanked out; every line keeps its number."""
    def blanked(match):
        kept = blank(match)
        return '""' + kept[2:] if match.group(0)[0] in "\"'R" else kept
    return NOT_CODE.sub(blanked, text)


def blank(match):
    return re.sub(r"[^\n]", " ", match.group(0))


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1


def in_pure_folder(path):
    return path.startswith(("core/", "sim/"))


# --- the rules: each yields (path, line, what is wrong) ---


def modules_keep_the_arrows(tree):
    earlier = set()
    for folder, depends in tree.modules.items():
        for other in depends:
            if other not in earlier:
                yield "CMakeLists.txt", 1, f"{folder} depends on {other}, which does not stand before it"
        earlier.add(folder)
        world = folder.split("/")[0]
        allowed = {"core": {"core"}, "sim": {"core", "sim"}, "emulate": {"core", "emulate"}}.get(world)
        for other in sorted(tree.reachable(folder)):
            if allowed and other.split("/")[0] not in allowed:
                yield "CMakeLists.txt", 1, f"{folder} may not depend on {other}: against the arrows"


def includes_follow_the_arrows(tree):
    for path in tree.code:
        folder = os.path.dirname(path)
        if folder not in tree.modules:
            yield path, 1, f"nothing builds this: {folder or '.'} has no slipstream_module line in CMakeLists.txt"
            continue
        reachable = tree.reachable(folder)
        for match in INCLUDE.finditer(tree.files[path]):
            included = match.group(1)
            if included is None:
                continue
            line = line_of(tree.files[path], match.start())
            if not os.path.isfile(os.path.join(tree.root, included)):
                yield path, line, f'"{included}" is not a path from the root of the repository'
            elif os.path.dirname(included) not in reachable:
                yield path, line, f"{folder} includes {included}: against the arrows (see CMakeLists.txt)"


def core_and_sim_are_pure(tree):
    for path, code in tree.code.items():
        if not in_pure_folder(path) or path.endswith("_bench.cc"):
            continue
        for match in INCLUDE.finditer(tree.files[path]):
            for what, pattern in FORBIDDEN_HEADERS.items():
                if match.group(2) and re.fullmatch(pattern, match.group(2)):
                    yield path, line_of(code, match.start()), f"<{match.group(2)}>: {what} in core or sim"
        for what, pattern in FORBIDDEN_NAMES.items():
            for match in re.finditer(pattern, code):
                yield path, line_of(code, match.start()), f"{match.group(0).strip()}: {what} in core or sim"


def unordered_names(code):
    """Names declared with an unordered container as their type."""
    for match in re.finditer(r"\bunordered_(?:multi)?(?:map|set)\s*<", code):
        depth, at = 1, match.end()
        while at < len(code) and depth > 0:
            depth += {"<": 1, ">": -1}.get(code[at], 0)
            at += 1
        declared = re.match(r"[\s&]*(\w+)", code[at:at + 200])
        if declared:
            yield declared.group(1)


def order_is_determined(tree):
    names = {}
    for path, code in tree.code.items():
        if in_pure_folder(path):
            names.setdefault(os.path.dirname(path), set()).update(unordered_names(code))
    for path, code in tree.code.items():
        if not in_pure_folder(path):
            continue
        for name in names.get(os.path.dirname(path), ()):
            loop = rf"for\s*\([^;()]*:\s*(?:this->|\w+(?:\.|->))*{name}\s*\)|\b{name}\s*\.\s*c?begin\s*\("
            for match in re.finditer(loop, code):
                yield path, line_of(code, match.start()), f"iteration over the unordered container {name}"
        for match in re.finditer(r"\b(?:map|set)\s*<\s*(?:const\s+)?[\w:]+(?:\s+const)?\s*\*", code):
            yield path, line_of(code, match.start()), "a pointer as a key: its order changes from run to run"


def lines_are_short(tree):
    for path, text in tree.files.items():
        if is_one_of(path, CODE):
            for number, line in enumerate(text.split("\n"), 1):
                if len(line) > LINE_LIMIT:
                    yield path, number, f"{len(line)} columns, over {LINE_LIMIT}"


def files_are_short(tree):
    for path, text in tree.files.items():
        limit = HEADER_LIMIT if path.endswith(".h") else FILE_LIMIT
        count = text.count("\n")
        if is_one_of(path, CODE) and count > limit and REASON not in "\n".join(text.split("\n")[:15]):
            yield path, 1, f'{count} lines, over {limit}, without a reason ("{REASON}") at the top'


def cpp_functions(code):
    """(first line, last line) of each outermost function body with its head, of stripped C++."""
    code = DIRECTIVE.sub(blank, code)
    depth, function_depth, function_line, head_start = 0, None, 0, 0
    for match in re.finditer(r"[{};]", code):
        token, at = match.group(0), match.start()
        if token == "{":
            if function_depth is None and is_function_head(code[head_start:at]):
                head = code[head_start:at]
                function_line = line_of(code, head_start + len(head) - len(head.lstrip()))
                function_depth = depth
            depth += 1
        elif token == "}":
            depth -= 1
            if function_depth == depth:
                function_depth = None
                yield function_line, line_of(code, at)
        if function_depth is None:
            head_start = at + 1


def is_function_head(head):
    head = re.sub(r"\btemplate\s*<[^{]*?>(?=\s*[\w\[:])", " ", head)
    return ")" in head and not re.search(r"\b(?:namespace|enum|union|class|struct)\b[^()]*$", head)


def functions(path, text, code):
    if path.endswith(".py"):
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                yield node.lineno, node.end_lineno
    elif code is not None:
        yield from cpp_functions(code)
    else:
        for match in re.finditer(r"^\w+\(\) [{(]\n(?:.*\n)*?[})]$", text, re.MULTILINE):
            yield line_of(text, match.start()), line_of(text, match.end())


def functions_are_short(tree):
    for path, text in tree.files.items():
        if not is_one_of(path, CODE) or path == "CMakeLists.txt":
            continue
        lines = text.split("\n")
        for first, last in functions(path, text, tree.code.get(path)):
            around = lines[max(0, first - 6):first + 3]
            if last - first + 1 > FUNCTION_LIMIT and not any(REASON in line for line in around):
                count = last - first + 1
                yield path, first, f'a function of {count} lines, over {FUNCTION_LIMIT}, without a reason ("{REASON}")'


def headers_guard_themselves(tree):
    for path, code in tree.code.items():
        if path.endswith(".h") and not re.search(r"^#pragma once$", code, re.MULTILINE):
            yield path, 1, "no #pragma once"


def nothing_is_forgotten(tree):
    """Tests, scripts and specs that nothing runs or names. (What is C++ runs when its folder is a module.)"""
    for path in tree.files:
        name = os.path.basename(path)
        stem = name.rsplit(".", 1)[0]
        others = {other: text for other, text in tree.files.items() if other != path}
        if re.search(r"_test\.(py|sh)$", path):
            if path not in tree.files.get("CMakeLists.txt", ""):
                yield path, 1, "a test that CMakeLists.txt does not run"
        elif path.endswith((".py", ".sh")):
            named = rf"\b{re.escape(name)}\b|\b(?:import|from)\s+(?:\w+\s*,\s*)*(?:\w+\.)*{re.escape(stem)}\b"
            if not any(re.search(named, text) for text in others.values()):
                yield path, 1, "a script that nothing runs or names"
        elif os.path.dirname(path) == "experiments/specs" and name.endswith(".json"):
            named = rf"(?<![\w-]){re.escape(stem)}(?![\w-])"
            if not any(re.search(named, text) for other, text in others.items()
                       if other.endswith("README.md") or re.search(r"_test\.(cc|py)$", other)):
                yield path, 1, "a spec that neither a README.md nor a test names"


def files_below(folder):
    return sorted(os.path.join(at, name) for at, _, names in os.walk(folder) for name in names)


def fuzz_targets_have_corpora(tree):
    """FOLDER/NAME_fuzz.cc is a fuzz target whose inputs, in FOLDER/corpus/NAME, are tests; and the other way round."""
    wanted = set()
    for path, code in tree.code.items():
        if not path.endswith("_fuzz.cc"):
            continue
        corpus = os.path.join(os.path.dirname(path), "corpus", os.path.basename(path)[:-len("_fuzz.cc")])
        wanted.add(corpus)
        if not re.search(r"\bLLVMFuzzerTestOneInput\s*\(", code):
            yield path, 1, "a fuzz target without LLVMFuzzerTestOneInput"
        if not files_below(os.path.join(tree.root, corpus)):
            yield path, 1, f"a fuzz target without inputs in {corpus}"
    for folder in sorted({os.path.dirname(path) for path in tree.code}):
        for whole in files_below(os.path.join(tree.root, folder, "corpus")):
            path = os.path.relpath(whole, tree.root)
            if os.path.dirname(path) not in wanted:
                yield path, 1, "an input of no fuzz target"


def links_lead_somewhere(tree):
    for path, text in tree.files.items():
        if not path.endswith(".md"):
            continue
        for match in LINK.finditer(NOT_PROSE.sub(blank, text)):
            target = next(group for group in match.groups() if group)
            if re.match(r"[a-z]+:|#", target):
                continue
            if not os.path.exists(os.path.join(tree.root, os.path.dirname(path), target.split("#")[0])):
                yield path, line_of(text, match.start()), f"a dead link: {target}"


def nothing_is_unfinished_or_local(tree):
    for path, text in tree.files.items():
        for match in UNFINISHED.finditer(text):
            yield path, line_of(text, match.start()), f"{match.group(0)}: finish it, or open an issue"
        for match in MACHINE.finditer(text):
            yield path, line_of(text, match.start()), f"{match.group(0)}: a place on one machine"


RULES = [modules_keep_the_arrows, includes_follow_the_arrows, core_and_sim_are_pure, order_is_determined,
         lines_are_short, files_are_short, functions_are_short, headers_guard_themselves, nothing_is_forgotten,
         fuzz_targets_have_corpora, links_lead_somewhere, nothing_is_unfinished_or_local]


def findings(root):
    tree = Tree(root)
    return sorted({finding for rule in RULES for finding in rule(tree)})


def main():
    if len(sys.argv) != 2 or not os.path.isfile(os.path.join(sys.argv[1], "CMakeLists.txt")):
        sys.exit("usage: tidy_test.py SOURCE_ROOT (the folder of CMakeLists.txt)")
    import tidy_selftest
    faults = tidy_selftest.run(findings)
    for fault in faults:
        print(f"self-test: {fault}")
    found = findings(sys.argv[1])
    for path, line, what in found:
        print(f"{path}:{line}: {what}")
    print(f"tidy: {len(found)} findings, {len(faults)} faults of the self-test")
    sys.exit(1 if found or faults else 0)


if __name__ == "__main__":
    main()
