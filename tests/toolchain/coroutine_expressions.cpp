// A test of the compiler, not of ours: co_await inside expressions: conditions, aggregates, lambdas,
// ternaries, throws. g++ before 14 crashes on some of these; a toolchain that passes them all may build this
// project.
#include "tests/toolchain/coroutine_cases.hpp"

task<void> case_0() {
  co_await hop();
  Agg g{C{}, C{}, 1};
  co_await take_agg(std::move(g));
}
task<void> case_1() {
  co_await hop();
  co_await take_ctor(CtorAgg{C{}, C{}});
}
task<void> case_2() {
  co_await hop();
  co_await take_agg(mk());
}
task<void> case_3() {
  co_await hop();
  Agg g{C{}, C{}, 1};
  co_await take_agg_ref(g);
}
task<void> case_4() {
  co_await hop();
  co_await take_pod({.x = 1, .y = 2});
}
task<void> case_5() {
  co_await hop();
  co_await take_agg({});
}
task<void> case_6() {
  co_await hop();
  co_await take_opts({.name = std::string(60, 'n'), .n = 3});
}
task<void> case_7() {
  co_await hop();
  co_await take_opts({.name = "a literal string that is longer than the SSO buffer", .n = 3});
}
task<void> case_8() {
  co_await hop();
  Obj o;
  co_await o.call({.name = std::string(60, 'n'), .n = 3});
}
task<void> case_9() {
  co_await hop();
  auto aw = take_agg({.a = C{}, .b = C{}});
  co_await std::move(aw);
}
task<void> case_10() {
  co_await hop();
  if (co_await flag() && co_await flag()) {
    co_await hop();
  }
}
task<void> case_11() {
  co_await hop();
  if (co_await no() || co_await flag()) {
    co_await hop();
  }
}
task<void> case_12() {
  co_await hop();
  bool b = true;
  if (b && co_await flag()) {
    co_await hop();
  }
}
task<void> case_13() {
  co_await hop();
  bool b = true;
  if (co_await flag() && b) {
    co_await hop();
  }
}
task<void> case_14() {
  co_await hop();
  bool r = co_await flag() && co_await flag();
  (void)r;
}
task<void> case_15() {
  co_await hop();
  int r = (co_await num()) > 0 && (co_await num()) > 0;
  (void)r;
}
task<void> case_16() {
  co_await hop();
  if (!co_await flag()) co_await hop();
}
task<void> case_17() {
  co_await hop();
  int i = 0;
  while (co_await flag()) {
    if (++i > 2) break;
  }
}
task<void> case_18() {
  co_await hop();
  switch (co_await num()) {
    case 1:
      co_await hop();
      break;
    default:
      break;
  }
}
task<void> case_19() {
  co_await hop();
  for (int i = 0; i < co_await num(); i += co_await num()) {
  }
}
task<void> case_20() {
  co_await hop();
  C a, b;
  bool f = true;
  co_await take(f ? a : b);
}
task<void> case_21() {
  co_await hop();
  bool f = true;
  co_await take(f ? C{} : C{"z"});
}
task<void> case_22() {
  co_await hop();
  bool f = true;
  co_await take_ref(f ? std::string(50, 'x') : std::string(60, 'y'));
}
task<void> case_23() {
  co_await hop();
  bool f = true;
  co_await take_str(f ? std::string(50, 'x') : std::string(60, 'y'));
}
task<void> case_24() {
  co_await hop();
  std::optional<std::string> o;
  co_await take_str(o.value_or(std::string(50, 'x')));
}
task<void> case_25() {
  co_await hop();
  bool f = false;
  int n = f ? 1 : co_await num();
  (void)n;
}
task<void> case_26() {
  co_await hop();
  bool f = true;
  std::string s = f ? co_await str() : std::string(50, 'y');
  (void)s;
}
task<void> case_27() {
  co_await hop();
  co_await take_str((std::string(50, 'x')));
}
task<void> case_28() {
  co_await hop();
  co_await take_pair({std::string(50, 'x'), std::string(50, 'y')});
}
task<void> case_29() {
  co_await hop();
  co_await take_pair(std::pair{std::string(50, 'x'), std::string(50, 'y')});
}
task<void> case_30() {
  co_await hop();
  co_await take_tup(std::make_tuple(std::string(50, 'x'), 1));
}
task<void> case_31() {
  co_await hop();
  std::vector<std::string> v{std::string(50, 'x')};
  co_await take_vec(std::move(v));
}
task<void> case_32() {
  co_await hop();
  std::string s(50, 'x');
  co_await take_fn([s] { return s.size(); });
}
task<void> case_33() {
  co_await hop();
  co_await take_fn([s = std::string(50, 'x')] { return s.size(); });
}
task<void> case_34() {
  co_await hop();
  co_await take_fn2([p = std::make_unique<C>()] { return p->s.size(); });
}
task<void> case_35() {
  co_await hop();
  std::string s(50, 'x');
  co_await take_tmpl([s] { return s.size(); });
}
task<void> case_36() {
  co_await hop();
  std::string s(50, 'x');
  co_await [s]() -> task<void> {
    co_await hop();
    if (s.size() != 50) std::abort();
  }();
}
task<void> case_37() {
  co_await hop();
  std::string s(50, 'x');
  co_await [&]() -> task<void> {
    co_await hop();
    if (s.size() != 50) std::abort();
  }();
}
task<void> case_38() {
  co_await hop();
  auto l = []() -> task<std::string> { co_return co_await str(); };
  auto r = co_await l();
  (void)r;
}
task<void> case_39() {
  co_await hop();
  auto l = []() -> task<Agg> {
    co_await hop();
    co_return Agg{C{}, C{}, 3};
  };
  auto r = co_await l();
  (void)r;
}
task<void> case_40() {
  co_await hop();
  Agg g{co_await mkc(), co_await mkc(), 3};
  (void)g;
}
task<void> case_41() {
  co_await hop();
  Agg g{.a = co_await mkc(), .b = co_await mkc(), .n = 3};
  (void)g;
}
task<void> case_42() {
  co_await hop();
  CtorAgg g(co_await mkc(), co_await mkc());
  (void)g;
}
task<void> case_43() {
  co_await hop();
  use2(co_await mkc(), co_await mkc());
}
task<void> case_44() {
  co_await hop();
  try {
    co_await hop();
    throw std::runtime_error(std::string(60, 'x'));
  } catch (const std::exception& e) {
    C c;
    (void)c;
  }
  co_await hop();
}
task<void> case_45() {
  co_await hop();
  auto l = []() -> task<void> {
    C c;
    co_await hop();
    throw std::runtime_error("x");
  };
  try {
    co_await l();
  } catch (...) {
  };
}
task<void> case_46() {
  co_await hop();
  for (auto& c : (co_await box()).items) {
    (void)c;
    co_await hop();
  }
}
task<void> case_47() {
  co_await hop();
  auto p = std::make_shared<C>();
  co_await take_sp(p);
  co_await take_sp(p);
  if (p.use_count() != 1) std::abort();
}
task<void> case_48() {
  co_await hop();
  co_await take_sp(std::make_shared<C>());
}
task<void> case_49() {
  co_await hop();
  co_await take_stdfn([s = std::string(50, 'x')] { return s.size(); });
}
task<void> case_50() {
  co_await hop();
  co_await take_sv(std::string(50, 'x'));
}
task<void> case_51() {
  co_await hop();
  co_await take_def();
}
task<void> case_52() {
  co_await hop();
  Obj o;
  co_await o.viaLambda();
}
task<void> case_53() {
  co_await hop();
  auto [a, b] = co_await mkpair();
  co_await hop();
  (void)a;
  (void)b;
}
task<void> case_54() {
  co_await hop();
  if (auto [ec, s] = co_await mkec(); !ec) {
    co_await hop();
    (void)s;
  }
}
task<void> case_55() {
  co_await hop();
  co_await take_var(std::variant<int, std::string>(std::string(50, 'x')));
}
static const Case kCases[] = {
    {"agg lvalue moved", case_0},
    {"agg w/ user ctor temp (CtorAgg)", case_1},
    {"agg via make fn", case_2},
    {"agg const& lvalue", case_3},
    {"agg of trivials temp", case_4},
    {"agg empty braces {}", case_5},
    {"agg with string members braced", case_6},
    {"agg with literal string members", case_7},
    {"agg opts in member function call", case_8},
    {"agg only named, awaitable made first", case_9},
    {"await && await", case_10},
    {"await || await", case_11},
    {"local && await", case_12},
    {"await && local", case_13},
    {"await && await no body", case_14},
    {"await && await with int", case_15},
    {"!await", case_16},
    {"while await", case_17},
    {"await in switch", case_18},
    {"await in for cond/inc", case_19},
    {"ternary lvalue arg", case_20},
    {"ternary prvalue arg", case_21},
    {"ternary string arg by ref", case_22},
    {"ternary string arg by value", case_23},
    {"value_or temp arg", case_24},
    {"ternary one await arm", case_25},
    {"ternary await arms class type", case_26},
    {"comma/paren temp", case_27},
    {"pair temp", case_28},
    {"std::pair explicit", case_29},
    {"tuple temp", case_30},
    {"vector braced moved elems", case_31},
    {"lambda arg capturing string", case_32},
    {"lambda arg init-capture", case_33},
    {"lambda arg captures unique_ptr", case_34},
    {"lambda tmpl arg capture", case_35},
    {"coroutine lambda immediately awaited", case_36},
    {"coroutine lambda ref captures awaited", case_37},
    {"co_return await", case_38},
    {"co_return braced agg", case_39},
    {"agg init from awaits", case_40},
    {"agg designated from awaits", case_41},
    {"ctor args from two awaits", case_42},
    {"call args from two awaits", case_43},
    {"try/catch rethrow", case_44},
    {"exception crosses await", case_45},
    {"range-for temp chain", case_46},
    {"shared_ptr arg copies", case_47},
    {"shared_ptr make_shared temp", case_48},
    {"std::function temp arg", case_49},
    {"string_view of temp", case_50},
    {"default arg string", case_51},
    {"this capture lambda", case_52},
    {"structured binding from await", case_53},
    {"if-init structured", case_54},
    {"result<T> like variant temp", case_55},
};

int main() {
  return run_cases(kCases);
}
