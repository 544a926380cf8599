// A test of the compiler, not of ours: the forms of coroutines: loops, bindings, members, move-only values,
// abandoned frames. g++ before 14 crashes on some of these; a toolchain that passes them all may build this
// project.
#define CATCH_CONFIG_RUNNER
#include <sys/wait.h>
#include <unistd.h>
#include <boost/asio.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <csignal>
#include <cstdio>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>
namespace asio = boost::asio;
template <class T>
using task = asio::awaitable<T>;
static int live = 0;
struct C {
  std::string s;
  C(std::string x = "a long enough string to be heap allocated") : s(std::move(x)) { ++live; }
  C(const C& o) : s(o.s) { ++live; }
  C(C&& o) noexcept : s(std::move(o.s)) { ++live; }
  ~C() { --live; }
  C& operator=(const C&) = default;
  C& operator=(C&&) = default;
};
struct Agg {
  C a;
  C b;
  int n = 0;
};
struct CtorAgg {
  C a, b;
  CtorAgg(C x, C y) : a(std::move(x)), b(std::move(y)) {}
};
struct Pod {
  int x = 0, y = 0;
};
struct Opts {
  std::string name;
  int n = 0;
};
struct Box {
  std::vector<C> items;
};
task<void> hop() {
  co_await asio::post(asio::use_awaitable);
}
task<int> take(C c) {
  co_await hop();
  co_return (int) c.s.size();
}
task<int> take_agg(Agg a) {
  co_await hop();
  co_return (int)(a.a.s.size() + a.b.s.size());
}
task<int> take_agg_ref(const Agg& a) {
  co_await hop();
  co_return (int)(a.a.s.size() + a.b.s.size());
}
task<int> take_ctor(CtorAgg a) {
  co_await hop();
  co_return (int)(a.a.s.size() + a.b.s.size());
}
task<int> take_pod(Pod p) {
  co_await hop();
  co_return p.x;
}
task<int> take_opts(Opts p) {
  co_await hop();
  co_return (int) p.name.size();
}
task<int> take_vec(std::vector<std::string> v) {
  co_await hop();
  co_return (int) v.size();
}
task<int> take_ref(const std::string& s) {
  co_await hop();
  co_return (int) s.size();
}
task<int> take_str(std::string s) {
  co_await hop();
  co_return (int) s.size();
}
task<int> take_sv(std::string_view s) {
  co_await hop();
  co_return (int) s.size();
}
task<int> take_def(std::string s = std::string(50, 'd')) {
  co_await hop();
  co_return (int) s.size();
}
task<int> take_pair(std::pair<std::string, std::string> s) {
  co_await hop();
  co_return (int) s.first.size();
}
task<int> take_tup(std::tuple<std::string, int> s) {
  co_await hop();
  co_return (int) std::get<0>(s).size();
}
task<int> take_var(std::variant<int, std::string> s) {
  co_await hop();
  co_return (int) s.index();
}
template <class F>
task<int> take_tmpl(F f) {
  co_await hop();
  co_return (int) f();
}
template <class F>
task<int> take_fn(F f) {
  co_await hop();
  co_return (int) f();
}
template <class F>
task<int> take_fn2(F f) {
  co_await hop();
  co_return (int) f();
}
task<int> take_stdfn(std::function<size_t()> f) {
  co_await hop();
  co_return (int) f();
}
task<int> take_sp(std::shared_ptr<C> p) {
  co_await hop();
  co_return (int) p->s.size();
}
task<bool> flag() {
  co_await hop();
  co_return true;
}
task<bool> no() {
  co_await hop();
  co_return false;
}
task<int> num() {
  co_await hop();
  co_return 1;
}
task<std::string> str() {
  co_await hop();
  co_return std::string(50, 's');
}
task<C> mkc() {
  co_await hop();
  co_return C{};
}
task<Box> box() {
  co_await hop();
  Box b;
  b.items.resize(3);
  co_return b;
}
task<std::pair<C, C>> mkpair() {
  co_await hop();
  co_return std::pair<C, C>();
}
task<std::tuple<int, C>> mkec() {
  co_await hop();
  co_return std::tuple<int, C>();
}
Agg mk() {
  return Agg{C{}, C{}, 5};
}
void use2(C, C) {}
struct Obj {
  std::string st = std::string(60, 'o');
  task<int> call(Opts o) {
    co_await hop();
    co_return (int)(o.name.size() + st.size());
  }
  task<int> viaLambda() {
    auto l = [this]() -> task<int> {
      co_await hop();
      co_return (int) st.size();
    };
    co_return co_await l();
  }
};

using namespace std::chrono_literals;
using namespace boost::asio::experimental::awaitable_operators;
task<void> nap(std::chrono::milliseconds d) {
  asio::steady_timer t(co_await asio::this_coro::executor, d);
  co_await t.async_wait(asio::use_awaitable);
}
task<int> take2(std::string a, std::string b) {
  co_await hop();
  co_return (int)(a.size() + b.size());
}
task<std::string> echo(std::string s) {
  co_await hop();
  co_return s;
}
struct Res {
  std::variant<int, std::string> v;
  bool ok() const { return v.index() == 1; }
  std::string value() && { return std::get<1>(std::move(v)); }
};
task<Res> res() {
  co_await hop();
  Res r{std::string(50, 'r')};
  co_return r;
}
template <class F>
task<int> run_fn(F f) {
  co_await hop();
  co_return co_await f();
}
struct Sock {
  asio::io_context* io;
};
task<void> case_0() {
  co_await hop();
  co_await take_fn([] { return size_t(3); });
}
task<void> case_1() {
  co_await hop();
  int k = 3;
  co_await take_fn([k] { return size_t(k); });
}
task<void> case_2() {
  co_await hop();
  std::string s(50, 'x');
  co_await take_fn([&] { return s.size(); });
}
task<void> case_3() {
  co_await hop();
  std::string s(50, 'x');
  auto f = [s] { return s.size(); };
  co_await take_fn(std::move(f));
}
task<void> case_4() {
  co_await hop();
  std::string s(50, 'x');
  std::function<size_t()> f = [s] { return s.size(); };
  co_await take_stdfn(std::move(f));
}
task<void> case_5() {
  co_await hop();
  auto ex = co_await asio::this_coro::executor;
  std::string s(50, 'x');
  co_await asio::co_spawn(
      ex,
      [s]() -> task<void> {
        co_await hop();
        if (s.size() != 50) std::abort();
      },
      asio::use_awaitable);
}
task<void> case_6() {
  co_await hop();
  auto ex = co_await asio::this_coro::executor;
  std::string s(50, 'x');
  auto w = take_str(s);
  co_await asio::co_spawn(ex, std::move(w), asio::use_awaitable);
}
task<void> case_7() {
  co_await hop();
  auto ex = co_await asio::this_coro::executor;
  std::string s(50, 'x');
  co_await asio::co_spawn(ex, take_str(s), asio::use_awaitable);
}
task<void> case_8() {
  co_await hop();
  auto ex = co_await asio::this_coro::executor;
  std::string s(50, 'x');
  asio::co_spawn(
      ex,
      [s]() -> task<void> {
        co_await hop();
        if (s.size() != 50) std::abort();
      },
      asio::detached);
  co_await hop();
  co_await hop();
}
task<void> case_9() {
  co_await hop();
  std::string s(50, 'x');
  auto r = co_await (take_str(std::move(s)) || nap(50ms));
  (void)r;
}
task<void> case_10() {
  co_await hop();
  auto r = co_await (take_str(std::string(50, 'x')) || nap(50ms));
  (void)r;
}
task<void> case_11() {
  co_await hop();
  const auto& r = co_await str();
  co_await hop();
  if (r.size() != 50) std::abort();
}
task<void> case_12() {
  co_await hop();
  auto&& r = co_await str();
  co_await hop();
  if (r.size() != 50) std::abort();
}
task<void> case_13() {
  co_await hop();
  if (auto r = co_await res(); !r.ok()) co_return;
}
task<void> case_14() {
  co_await hop();
  auto s = (co_await res()).value();
  if (s.size() != 50) std::abort();
}
task<void> case_15() {
  co_await hop();
  std::vector<std::string> v;
  v.push_back(co_await str());
  v.push_back(co_await str());
}
task<void> case_16() {
  co_await hop();
  std::map<std::string, std::string> m;
  m[co_await str()] = co_await str();
}
task<void> case_17() {
  co_await hop();
  std::map<std::string, std::string> m;
  m.emplace("k", co_await str());
}
task<void> case_18() {
  co_await hop();
  std::string s;
  s += co_await str();
  s += co_await str();
}
task<void> case_19() {
  co_await hop();
  std::string s = std::string(40, 'a') + co_await str();
}
task<void> case_20() {
  co_await hop();
  std::string s(50, 'q');
  s = co_await str();
}
task<void> case_21() {
  co_await hop();
  struct M {
    std::string a;
  } m;
  m.a = co_await str();
}
task<void> case_22() {
  co_await hop();
  std::optional<std::string> o;
  o = co_await str();
  o.emplace(co_await str());
}
task<void> case_23() {
  co_await hop();
  try {
    throw std::runtime_error(co_await str());
  } catch (const std::exception&) {
  }
}
task<void> case_24() {
  co_await hop();
  auto l = [](bool b) -> task<std::string> { co_return b ? co_await str() : co_await str(); };
  co_await l(true);
  co_await l(false);
}
task<void> case_25() {
  co_await hop();
  bool b = true;
  std::string s = b ? co_await str() : co_await str();
  (void)s;
}
task<void> case_26() {
  co_await hop();
  co_await take2(std::string(40, 'a'), std::string(50, 'b'));
}
task<void> case_27() {
  co_await hop();
  co_await take2("a literal that is longer than SSO for sure", "another literal that is longer than SSO");
}
task<void> case_28() {
  co_await hop();
  std::string n(30, 'n');
  co_await take2("prefix prefix prefix " + n, n + " suffix");
}
task<void> case_29() {
  co_await hop();
  co_await echo(co_await echo(std::string(50, 'x')));
}
task<void> case_30() {
  co_await hop();
  std::vector<std::string> v(3, std::string(40, 'v'));
  for (const auto& s : v) co_await take_str(s);
}
task<void> case_31() {
  co_await hop();
  std::vector<std::string> v(3, std::string(40, 'v'));
  for (auto& s : v) {
    int n = co_await take_str(std::move(s));
    if (n != 40) std::abort();
  }
}
task<void> case_32() {
  co_await hop();
  co_await std::make_shared<Obj>()->viaLambda();
}
task<void> case_33() {
  co_await hop();
  co_await Obj{}.viaLambda();
}
task<void> case_34() {
  co_await hop();
  auto o = std::make_unique<Obj>();
  co_await o->viaLambda();
}
task<void> case_35() {
  co_await hop();
  try {
    C c;
    co_await hop();
    throw std::runtime_error("x");
  } catch (const std::exception& e) {
    C d;
  }
  co_await hop();
}
task<void> case_36() {
  co_await hop();
  for (int i = 0; i < 4; ++i) {
    C c;
    if (i == 1) continue;
    co_await hop();
    if (i == 2) break;
  }
}
task<void> case_37() {
  co_await hop();
  auto l = [](bool b) -> task<int> {
    C c;
    co_await hop();
    if (b) co_return 1;
    C d;
    co_await hop();
    co_return 2;
  };
  co_await l(true);
  co_await l(false);
}
task<void> case_38() {
  co_await hop();
  asio::steady_timer t(co_await asio::this_coro::executor, 1ms);
  auto [ec] = co_await t.async_wait(asio::as_tuple(asio::use_awaitable));
  (void)ec;
}
task<void> case_39() {
  co_await hop();
  asio::steady_timer t(co_await asio::this_coro::executor, 1ms);
  boost::system::error_code ec;
  co_await t.async_wait(asio::redirect_error(asio::use_awaitable, ec));
}
task<void> case_40() {
  co_await hop();
  auto p = std::make_unique<C>();
  auto l = [](std::unique_ptr<C> c) -> task<std::unique_ptr<C>> {
    co_await hop();
    co_return c;
  };
  p = co_await l(std::move(p));
  if (!p) std::abort();
}
task<void> case_41() {
  co_await hop();
  struct S {
    std::unique_ptr<C> c = std::make_unique<C>();
    task<std::unique_ptr<C>> f() {
      co_await hop();
      co_return std::move(c);
    }
  } s;
  auto p = co_await s.f();
  (void)p;
}
task<void> case_42() {
  co_await hop();
  std::vector<task<int>> v;
  v.push_back(take(C{}));
  v.push_back(take(C{}));
  for (auto& t : v) co_await std::move(t);
}
task<void> case_43() {
  co_await hop();
  std::vector<std::string> v{"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                             "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"};
  co_await take_vec(v);
}
task<void> case_44() {
  co_await hop();
  co_await take_vec(std::vector<std::string>(3, std::string(40, 'x')));
}
task<void> case_45() {
  co_await hop();
  auto mkp = [] { return std::pair{std::string(50, 'x'), std::string(50, 'y')}; };
  co_await take_pair(mkp());
}
task<void> case_46() {
  co_await hop();
  auto mko = [](std::string n) { return Opts{std::move(n), 3}; };
  co_await take_opts(mko(std::string(50, 'x')));
}
task<void> case_47() {
  co_await hop();
  Opts o{.name = std::string(60, 'n'), .n = 3};
  co_await take_opts(std::move(o));
}
task<void> case_48() {
  co_await hop();
  {
    asio::io_context io2;
    asio::co_spawn(
        io2,
        []() -> task<void> {
          C c;
          co_await nap(10s);
        },
        asio::detached);
    io2.poll();
  }
  co_await hop();
}
struct Case {
  const char* name;
  task<void> (*fn)();
};
static const Case kCases[] = {
    {"captureless lambda temp arg", case_0},
    {"trivial capture lambda temp arg", case_1},
    {"ref capture lambda temp arg", case_2},
    {"named lambda, std::move", case_3},
    {"named std::function, std::move", case_4},
    {"co_spawn capturing lambda awaited", case_5},
    {"co_spawn named awaitable awaited", case_6},
    {"co_spawn call awaited", case_7},
    {"co_spawn detached capturing lambda", case_8},
    {"race f(std::move) || nap", case_9},
    {"race temp string || nap", case_10},
    {"ref-extended const auto&", case_11},
    {"auto&& result", case_12},
    {"if-init result", case_13},
    {"value() && chain", case_14},
    {"push_back(co_await)", case_15},
    {"map assign co_await both", case_16},
    {"emplace named + co_await", case_17},
    {"s += co_await", case_18},
    {"concat temp + await", case_19},
    {"assign existing var", case_20},
    {"member init from await", case_21},
    {"optional = await", case_22},
    {"throw with await arg", case_23},
    {"return ternary of awaits same type", case_24},
    {"ternary arms both awaits class", case_25},
    {"two string temps args", case_26},
    {"literal to std::string params", case_27},
    {"literal + concat arg", case_28},
    {"nested calls with string temps", case_29},
    {"range-for with await in body", case_30},
    {"await in loop with moved", case_31},
    {"shared_ptr method call temp", case_32},
    {"temp object method coroutine", case_33},
    {"unique_ptr deref call", case_34},
    {"await inside try with locals, throw", case_35},
    {"goto-like break/continue w/ locals", case_36},
    {"return in middle with locals", case_37},
    {"as_tuple structured binding", case_38},
    {"redirect_error", case_39},
    {"move-only by value", case_40},
    {"co_return move-only member", case_41},
    {"vector<task> awaited in loop", case_42},
    {"json-like initializer list named", case_43},
    {"std::vector<T>(n) temp", case_44},
    {"std::pair returned by func", case_45},
    {"emplace agg via fn", case_46},
    {"designated in named var", case_47},
    {"abandoned: destroyed while suspended", case_48},
};

/// Each case in a process of its own, so that a crash is counted and not fatal.
int main() {
  int bad = 0;
  for (const auto& c : kCases) {
    std::fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
      alarm(20);
      {
        asio::io_context io;
        asio::co_spawn(io, c.fn(), [](std::exception_ptr) {});
        io.run();
      }
      _exit(live > 0 ? 10 : live < 0 ? 11 : 0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) continue;
    ++bad;
    std::printf("miscompiled: %s (%s %d)\n", c.name, WIFSIGNALED(status) ? "signal" : "exit",
                WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
  }
  std::printf("%zu coroutine cases, %d bad\n", std::size(kCases), bad);
  return bad == 0 ? 0 : 1;
}
