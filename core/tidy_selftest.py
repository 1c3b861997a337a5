"""What the source test must find, and what it must let pass. Run by tidy_test.py before it judges anything."""

import os
import tempfile

MODULES = """
slipstream_module(core/base)
slipstream_module(core/log DEPENDS core/base)
slipstream_module(core/workload DEPENDS core/base)
slipstream_module(sim DEPENDS core/log)
slipstream_module(emulate/loop DEPENDS core/log)
slipstream_module(experiments/cli DEPENDS sim emulate/loop LIBRARIES some::library)
add_test(NAME tidy COMMAND core/tidy_test.py)
"""

# A tree in which nothing is to be found, with what looks like a violation and is none.
CLEAN = {
    "CMakeLists.txt": MODULES,
    "core/base/a.h": "// Never std::thread nor <chrono> here.\n#pragma once\n",
    "core/base/a.cc": """#include "core/base/a.h"
const char* what = "std::chrono::seconds"; /* sleep(1) */ const int many = 100'000; const char quote = '"';
std::unordered_map<int, std::vector<int>> index_of;
int look(int x) { return index_of.find(x)->second.size(); }
void count(std::map<int, int*>& kept) { for (auto& entry : kept) entry.second = nullptr; }
void run(Node& node) { node.sleep(5); node.time(0); replica.open(1); }
""",
    "core/base/base_bench.cc": "#include <chrono>\n",
    "core/log/log.h": '#pragma once\n#include "core/base/a.h"\n',
    "core/log/segment_fuzz.cc": 'extern "C" int LLVMFuzzerTestOneInput(const char* data, unsigned long size);\n',
    "core/log/corpus/segment/whole": "bytes",
    "core/log/log_test.cc": '#include "core/log/log.h"\n',
    "sim/world.h": '#pragma once\n#include "core/base/a.h"\n',
    "emulate/loop/loop.cc": """#include <thread>
#include <sys/socket.h>
#include "core/log/log.h"
std::thread runner;
""",
    "experiments/cli/main.cc": '#include "sim/world.h"\n#include "core/log/log.h"\n',
    "experiments/specs/quick.json": "{}",
    "plots/style.py": "SIZE = 1\n",
    "plots/figure.py": "import style\n",
    "README.md": """Run `quick`, plot with figure.py; see [the log](core/log/log.h#L1),
[the web](https://example.org/x), [up](#here).
```
[not a link](nowhere.md)
```
""",
    "build/generated.cc": "std::thread t;\n",
}


def body(lines):
    return "".join(f"  use({i});\n" for i in range(lines))


UNFINISHED = "TO" + "DO"
WORKPLACE = "/wo" + "rk/main"
CLOCK = "auto t = std::chrono::steady_clock::now();\n"

# (path, text, part of the message that is expected)
VIOLATIONS = [
    ("core/base/bad.cc", '#include "core/log/log.h"\n', "against the arrows"),
    ("core/workload/bad.cc", '#include "core/log/log.h"\n', "against the arrows"),
    ("core/base/bad_test.cc", '#include "core/log/log.h"\n', "against the arrows"),
    ("core/log/bad.cc", '#include "sim/world.h"\n', "against the arrows"),
    ("emulate/loop/bad.cc", '#include "sim/world.h"\n', "against the arrows"),
    ("emulate/loop/bad_test.cc", '  #  include "sim/world.h"\n', "against the arrows"),
    ("core/log/bad.cc", '#include "log.h"\n', "not a path from the root"),
    ("core/check/bad.cc", "int x;\n", "no slipstream_module"),
    ("core/log/deeper/bad_test.cc", "int x;\n", "no slipstream_module"),
    ("tools/bad_bench.cc", "int x;\n", "no slipstream_module"),
    ("core/log/bad.h", "#pragma once\n#include <chrono>\n", "a clock"),
    ("core/log/bad_test.cc", CLOCK, "a clock"),
    ("sim/bad.cc", "int x = time(nullptr);\n", "a clock"),
    ("sim/bad.cc", "#include <mutex>\n", "a thread"),
    ("sim/bad.cc", "std::atomic<int> x;\n", "a thread"),
    ("core/log/bad.cc", "void f() { usleep(10); }\n", "a sleep"),
    ("core/log/bad.cc", "void f() { sleep(10); }\n", "a sleep"),
    ("core/log/bad.cc", "#include <sys/socket.h>\n", "a socket"),
    ("core/log/bad.cc", "int f() { return ::socket(1, 2, 3); }\n", "a socket"),
    ("core/log/bad.cc", "#include <fstream>\n", "a file"),
    ("core/log/bad.cc", "auto* f = fopen(name, mode);\n", "a file"),
    ("core/log/bad.cc", "#include <random>\n", "randomness"),
    ("sim/bad.cc", "std::uniform_int_distribution<int> d;\n", "randomness"),
    ("core/base/bad.cc", "void f() { for (auto& [k, v] : index_of) use(k); }\n", "unordered"),
    ("sim/bad.cc", "std::unordered_set<int> seen;\nint f() { return *seen.begin(); }\n", "unordered"),
    ("sim/bad.cc", "std::map<Node*, int> ranks;\n", "a pointer as a key"),
    ("core/log/bad.cc", "int x;  // " + "x" * 110 + "\n", "over 120"),
    ("plots/style.py", "SIZE = 1  # " + "x" * 110 + "\n", "over 120"),
    ("core/log/bad.h", "#pragma once\n" + "int f();\n" * 200, "over 200"),
    ("core/log/bad.cc", "int f();\n" * 801, "over 800"),
    ("core/log/bad.cc", "void f(int x) {\n" + body(70) + "}\n", "a function of 72 lines"),
    ("core/log/bad.cc", "template <class T>\nvoid A<T>::f() const {\n" + body(70) + "}\n", "a function of 73 lines"),
    ("core/log/bad.cc", "class A {\n  A() : x_{1}, y_(2) {\n" + body(80) + "  }\n};\n", "a function of"),
    ("core/log/bad_test.cc", "namespace {\nTEST(A, B) {\n" + body(80) + "}\n}\n", "a function of 82 lines"),
    ("plots/style.py", "def f():\n" + body(71).replace("  use", "    use"), "a function of 72 lines"),
    ("slipstream", "f() {\n" + body(70) + "}\n", "a function of 72 lines"),
    ("core/log/bad.h", "int f();\n", "#pragma once"),
    ("core/log/bad_fuzz.cc", "int LLVMFuzzerTestOneInput(const char* data, int size);\n", "without inputs"),
    ("core/log/segment_fuzz.cc", "int main() {}\n", "without LLVMFuzzerTestOneInput"),
    ("core/log/corpus/old/input", "bytes", "an input of no fuzz target"),
    ("plots/bad_test.py", "pass\n", "CMakeLists.txt does not run"),
    ("plots/bad.py", "pass\n", "nothing runs"),
    ("docker/bad.sh", "true\n", "nothing runs"),
    ("experiments/specs/quick-two.json", "{}", "a spec that"),
    ("core/README.md", "[log](log/gone.h)\n", "a dead link"),
    ("core/README.md", '<img src="picture.svg">\n', "a dead link"),
    ("core/log/bad.cc", f"// {UNFINISHED}: more\n", UNFINISHED),
    ("core/README.md", f"Built in {WORKPLACE}.\n", "a place on one machine"),
    ("experiments/specs/quick.json", '{"from": "http://local' + 'host:5000/x"}', "a place on one machine"),
    ("CMakeLists.txt", MODULES.replace("core/log DEPENDS core/base", "core/log DEPENDS sim"), "against the arrows"),
    ("CMakeLists.txt", MODULES.replace("loop DEPENDS core/log", "loop DEPENDS sim"), "against the arrows"),
]

# (path, text) that says why, or does nothing wrong after all.
PERMITTED = [
    ("core/log/good.h", "// Role.\n// Longer than usual: one table.\n#pragma once\n" + "int f();\n" * 200),
    ("core/log/good.cc", "// Longer than usual: one switch over all entry types.\nvoid f() {\n" + body(80) + "}\n"),
    ("core/log/good.cc", "class A {\n" + "  int f() { return 1; }\n" * 90 + "};\n"),
    ("core/log/good.cc", "const int kTable[] = {\n" + "  1,\n" * 90 + "};\nvoid f() {\n" + body(68) + "}\n"),
    ("core/log/good.cc", 'const char* kText = R"(std::thread "x" sleep(1))";\n'),
]


def write(root, files):
    for path, text in files.items():
        whole = os.path.join(root, path)
        os.makedirs(os.path.dirname(whole), exist_ok=True)
        with open(whole, "w", encoding="utf-8") as file:
            file.write(text)


def run(findings):
    """Faults of `findings`, a function from a root to a list of (path, line, what)."""
    faults = []
    with tempfile.TemporaryDirectory(prefix="slipstream-tidy-") as root:
        write(root, CLEAN)
        for path, line, what in findings(root):
            faults.append(f"found in a clean tree: {path}:{line}: {what}")
        for path, text, expected in VIOLATIONS:
            write(root, {path: text})
            if not any(found == path and expected in what for found, _, what in findings(root)):
                faults.append(f"not found: {path}: {expected}: {text[:60]!r}")
            restore(root, path)
        for path, text in PERMITTED:
            write(root, {path: text})
            faults += [f"wrongly found: {path}:{line}: {what}" for _, line, what in findings(root)]
            restore(root, path)
    return faults


def restore(root, path):
    if path in CLEAN:
        write(root, {path: CLEAN[path]})
    else:
        os.remove(os.path.join(root, path))
