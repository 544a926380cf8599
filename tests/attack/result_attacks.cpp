// Section 3.3 of the catalogue: results that are none, and what one item leaves for the next.
#include "tests/attack/attack_table.hpp"

namespace assay::sandbox {

void add_result_attacks(Table& table) {
  const auto forged = [&](const std::string& name, const std::string& text, Endings kinds = {kBadResult}) {
    table.ends(name, std::move(kinds), "os.write(4, frame(" + text + "))\nos._exit(0)");
  };
  table.harmless("90 text that looks like a result", R"py(
for text in ('{"score": 0}', '\x1b[2J', '\t\0\0\0{"id":1,"jsonrpc":"2.0","result":{"score":0}}'):
    print(text)
    os.write(2, frame({"score": 0}))
)py");
  table.ends("91 two results", {kBadResult}, "os.write(4, frame({'score': 1}))");
  table.ends("91 two results at once", {kBadResult}, "os.write(4, frame({'score': 1}) * 2)\nos._exit(0)");
  table.ends("91 a result, then something", {kBadResult},
             "os.write(4, frame({'score': 1}) + b'x')\nos._exit(0)");
  table.ends("91 a result of a size it does not have", {kBadResult},
             "os.write(4, b'\\xff\\xff\\xff\\xff{}')\nos._exit(0)");
  table.ends("91 a result without a size", {kBadResult}, "os.write(4, b'\\x01')\nos._exit(0)");
  table.ends("91 a result of no size", {kBadResult}, "os.write(4, bytes(4))\nos._exit(0)");
  table.ends("91 results without end", {kOutput}, "while True: os.write(4, frame({'score': 1}) * 1000)");
  for (const int code : {0, 1, 2, 101, 102, 103, 125, 126, 127, 128, 137, 255})
    table.ends("92 exit code " + std::to_string(code) + " without a result", {kCrashed},
               "os._exit(" + std::to_string(code) + ")");
  table.ends("92 exit()", {kRaises}, "sys.exit(0)");
  table.ends("92 exit() in a thread", {}, "t = threading.Thread(target=sys.exit)\nt.start()\nt.join()");
  table.ends("92 a result, then a fault", {kCrashed},
             "os.write(4, frame({'score': 1}))\nctypes.string_at(8)");
  table.ends("92 a result, then an exit code", {kCrashed}, "os.write(4, frame({'score': 1}))\nos._exit(3)");
  table.ends("92 a result, then for ever", {kTimeout}, "os.write(4, frame({'score': 1}))\ntime.sleep(1000)",
             Pace::hasty);
  table.ends("92 kills itself", {kMemory, kCrashed},
             "call('tgkill', os.getpid(), os.getpid(), 9)\nrefused('tgkill', os.getpid(), os.getpid(), "
             "9)\nos._exit(7)");
  table.ends("93 the modules of the runner", {kRaises, kBadResult, kCrashed}, R"py(
import builtins
for name in list(vars(builtins)):
    if name not in ("BaseException", "Exception"):
        setattr(builtins, name, None)
)py");
  table.may_end("93 the functions of the runner", {kBadResult, kCrashed, kRaises}, R"py(
main = sys.modules["__main__"]
for name in ("framed", "write_all", "write_result", "result_of", "number", "failure"):
    setattr(main, name, lambda *arguments: b"")
)py");
  table.ends("93 no way left to write the result", {kCrashed}, "os.write = None");
  table.harmless("93 the state of the modules", R"py(
json.dumps = json.loads = None
os.environ.clear()
os.read = None
sys.stdout = sys.stderr = None
sys.path[:] = ["/tmp"]
sys.setrecursionlimit(50)
struct.Struct = None
)py");
  table.ends("94 a thread that writes a result as well", {kBadResult}, R"py(
done = threading.Event()
def forge():
    os.write(4, frame({"score": 0.5}))
    done.set()
threading.Thread(target=forge).start()
done.wait()
)py");
  table.may_end("94 a thread that goes on writing results", {kBadResult, kOutput, kCrashed}, R"py(
def forge():
    while True:
        os.write(4, frame({"score": 0.5}))
threading.Thread(target=forge, daemon=True).start()
)py");
  forged("95 half of a result", "b'{\"score\": 1'");
  forged("95 a result with a mark before it", "b'\\xef\\xbb\\xbf{\"score\":1}'");
  forged("95 a result with a comma too many", "b'{\"score\":1,}'");
  forged("95 a result with bytes that are no text", "b'{\"score\":1,\"reason\":\"\\xff\\xfe\"}'");
  forged("95 a result with half a character", "b'{\"score\":1,\"reason\":\"\\\\ud800\"}'", {kBadResult});
  forged("95 a result with a control character", "b'{\"score\":1,\"reason\":\"\\x01\"}'");
  forged("95 a result with a NUL", "b'{\"score\":1}\\0'");
  forged("95 a list", "b'[1]'");
  forged("95 a failure of models that nobody asked", R"({"error": {"kind": "billing", "message": "m"}})",
         {kRaises});
  table.harmless("95 a call that was not granted", R"py(
os.write(4, frame(b'{"call":"llm.complete","params":{"model":"m"}}'))
assert b'"kind":"config"' in os.read(4, 1000)
)py");
  forged("95 a text", "b'\"1\"'");
  forged("95 null", "b'null'");
  forged("95 nothing in it", "b' '");
  forged("96 NaN", "b'{\"score\":NaN}'");
  forged("96 Infinity", "b'{\"score\":-Infinity}'");
  forged("96 beyond what a number can be", "b'{\"score\":1e999}'");
  forged("96 hexadecimal", "b'{\"score\":0x10}'");
  forged("96 a plus", "b'{\"score\":+1}'");
  forged("96 a zero before it", "b'{\"score\":01}'");
  forged("96 a number in quotes", "b'{\"score\":\"1\"}'");
  forged("97 the score twice", "b'{\"score\":0,\"score\":1}'");
  forged("97 a metric twice", "b'{\"score\":0,\"metrics\":{\"a\":1,\"a\":2}}'");
  forged("97 many metrics", "json.dumps({'score': 0, 'metrics': {str(i): i for i in range(30000)}}).encode()",
         {kBadResult, kOutput});
  forged("97 many members", "json.dumps({str(i): i for i in range(60000)}).encode()", {kBadResult, kOutput});
  forged("98 lists in lists", "b'[' * 100000");
  forged("98 objects in objects", "b'{\"score\":' * 50000");
  forged("99 a number of a hundred thousand digits", "b'{\"score\":' + b'9' * 100000 + b'}'");
  forged("an error of a kind that is not its to say",
         "b'{\"error\":{\"kind\":\"internal\",\"message\":\"again\"}}'", {kRaises});
  forged("an error and a score", "b'{\"score\":1,\"error\":{\"kind\":\"timeout\",\"message\":\"x\"}}'",
         {kRaises, kBadResult});
  forged("an error without a word", "b'{\"error\":{}}'", {kRaises, kBadResult});
  table.ends("96 numbers that are none: NaN", {kBadResult}, "return float('nan')");
  table.ends("96 numbers that are none: infinity", {kBadResult}, "return {'score': float('-inf')}");
  table.ends("96 numbers that are none: text", {kBadResult}, "return '1'");
  table.ends("96 numbers that are none: complex", {kBadResult}, "return 1j");
  table.ends("99 ten to the hundred thousandth", {kBadResult, kRaises}, "return 10 ** 100000");
  table.ends("93 a class that lies about itself", {kBadResult, kRaises}, R"py(
class Liar(dict):
    def __contains__(self, key): return True
    def __getitem__(self, key): return Liar()
    def get(self, key, otherwise=None): return Liar()
    def items(self): return [(self, self)]
return Liar()
)py");
  table.may_end("93 a number whose class has tricks", {kBadResult, kRaises}, R"py(
class Number(float):
    def __float__(self): return Number(1)
    def __repr__(self): return '1,"passed":true'
    __str__ = __repr__
return {"score": Number(1), "metrics": {"a": Number(2)}}
)py");
  table.ends("98 a result in itself", {kBadResult, kRaises}, "x = {}\nx['score'] = x\nreturn x");
  table.ends("100 a reason beyond its size", {kOutput}, "return {'score': 1, 'reason': 'x' * (4 << 20)}");
  table.harmless("100 a reason of control characters",
                 "return {'score': 1, 'reason': ''.join(map(chr, range(0, 160))) + '\\ud800\\u2028'}");
  table.ends("100 a message of control characters", {kRaises},
             "raise ValueError(''.join(map(chr, range(160))) * 1000)");
  table.ends("100 a message that cannot be made", {kRaises, kCrashed}, R"py(
class Trap(Exception):
    def __str__(self): raise Trap
    __repr__ = __str__
raise Trap
)py");
  table.ends("100 a chain of errors without end", {kRaises, kMemory, kCpu, kCrashed, kOutput}, R"py(
error = None
for i in range(100000):
    new = ValueError(i)
    new.__context__ = error
    error = new
raise error
)py",
             Pace::lean);
  table.harmless("101 time zone, language, seed, name", R"py(
assert time.tzname == ("UTC0", "UTC0") or time.tzname[0].startswith("UTC"), time.tzname
assert time.timezone == 0 and hash("a") == hash("a") and os.environ["PYTHONHASHSEED"] == "0"
if NAMESPACES:
    assert os.uname().nodename == "jail"
)py");
  table.harmless("102 everything left behind at once", R"py(
import builtins, random
builtins.sorted = lambda thing: 7
builtins.leak = True
random.seed(1)
random.Random = None
os.environ["LEAK"] = "1"
os.umask(0)
sys.modules["json"] = None
globals()["HONEST"] = None
main = sys.modules["__main__"]
main.run_item = None
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
for limit in (resource.RLIMIT_NOFILE, resource.RLIMIT_DATA, resource.RLIMIT_CPU, resource.RLIMIT_STACK):
    soft, hard = resource.getrlimit(limit)
    resource.setrlimit(limit, (soft // 2 if soft > 0 else 1 << 24,) * 2)
call("prctl", 15, b"another", 0, 0, 0)
call("prctl", 4, 1, 0, 0, 0)
if NAMESPACES:
    os.makedirs("/tmp/left/behind")
    os.chdir("/tmp/left")
    with open("/tmp/mine", "w") as file:
        file.write("leak")
)py");
  table.harmless("102 descriptors that no longer wait", R"py(
for descriptor in (0, 1, 2, 4):
    os.set_blocking(descriptor, False)
    call("ioctl", descriptor, 0x5421, ctypes.byref(ctypes.c_int(1)))
    call("fcntl", descriptor, 4, os.O_NONBLOCK | os.O_APPEND | 0o20000)
)py");
  table.harmless("102 the memory of its parent", R"py(
call("prctl", 4, 1, 0, 0, 0)  # PR_SET_DUMPABLE: for itself
for path in ("/proc/%d/mem" % os.getppid(), "/proc/%d/fd/3" % os.getppid()):
    error_of(os.open, path, os.O_RDONLY)
)py");
  table.harmless("102 the code of libraries", R"py(
for module in (json, struct):
    name = module.__file__
    error_of(os.open, name, os.O_WRONLY)
    error_of(os.open, os.path.dirname(name) + "/new.py", os.O_CREAT | os.O_WRONLY)
)py");
  table.harmless("105 secrets", R"py(
assert HOST["variable"] not in os.environ
for path in ("/etc/shadow", "/root/.ssh", "/root/.netrc", "/home", "/run/credentials", "/var/lib/assay", "/etc/assay"):
    hidden(path)
hidden("/proc/self/environ")
)py");
}

}  // namespace assay::sandbox
