// A test of the compiler, not of ours: the forms of coroutines: loops, bindings, members, move-only values,
// abandoned frames. g++ before 14 crashes on some of these; a toolchain that passes them all may build this
// project.
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <map>

#include "tests/toolchain/coroutine_cases.hpp"

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

int main() {
  return run_cases(kCases);
}
