// What both files of coroutine cases use: types whose destruction is counted, and coroutines that take and
// give them.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio.hpp>
#include <csignal>
#include <cstdio>
#include <functional>
#include <memory>
#include <optional>
#include <span>
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
struct Case {
  const char* name;
  task<void> (*fn)();
};
/// Each case in a process of its own, so that a crash is counted and not fatal.
inline int run_cases(std::span<const Case> cases) {
  int bad = 0;
  for (const auto& c : cases) {
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
  std::printf("%zu coroutine cases, %d bad\n", cases.size(), bad);
  return bad == 0 ? 0 : 1;
}
