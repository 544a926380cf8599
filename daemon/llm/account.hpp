// An account at an endpoint: who may send next, and when.
//
// Calls wait in one line, in the order in which they came (a call that is tried again has its old place).
// The first goes when the account is not parked, fewer requests than allowed are under way
// (daemon/llm/in_flight.hpp) and its limits have room (daemon/llm/pace.hpp). Retry-After parks the whole
// account, for an hour at most: nothing is sent before it, and nothing holds a place meanwhile.
//
// A refused key, or an account without money, pauses it: one line in the log, and every call ends at once
// with the same error, until a call that is let through once a minute, or at once when the key file has
// changed, is answered otherwise. A model that the key may not use pauses only that model.
#pragma once

#include <array>
#include <boost/asio/steady_timer.hpp>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "core/async/task.hpp"
#include "daemon/llm/in_flight.hpp"
#include "daemon/llm/models.hpp"
#include "daemon/llm/pace.hpp"

namespace assay::llm {

struct AccountStatus {
  std::string provider;
  int in_flight = 0;
  int allowed = 0;                          ///< requests at once, at the moment
  size_t waiting = 0;                       ///< calls
  std::chrono::milliseconds parked_for{0};  ///< from now on
  std::string paused;                       ///< "auth", "billing"; empty: not paused
  int64_t requests = 0;                     ///< sent since the start
  int64_t refused = 0;                      ///< of them answered as rate_limited
};

class Account : public std::enable_shared_from_this<Account> {
 public:
  /// Permission to send one request; finish() must follow.
  struct Turn {
    std::string model;
    std::string key;
    Instant sent;
    bool full = false;
    std::array<double, 4> amounts{}, marks{};  ///< of each pace
    std::string pass;                          ///< of the pause that it was let through, if `probing`
    bool probing = false;
  };
  /// How a request ended.
  struct Ending {
    const Headers* headers = nullptr;   ///< nullptr: no answer came
    Failure* failure = nullptr;         ///< nullptr: a good answer; of a pause it then says what to do
    const TokenUsage* usage = nullptr;  ///< nullptr: nothing is to be paid
    bool timed_out = false;
    bool abandoned = false;  ///< cancelled: says nothing about the endpoint
  };

  /// The error is that of the key file. `probe_after`: between requests that find out whether a pause is
  /// over.
  static Result<std::shared_ptr<Account>> open(asio::any_io_executor executor, Provider provider,
                                               std::chrono::milliseconds probe_after);

  const Provider& provider() const { return provider_; }
  /// Waits for the turn of the call with that number (a smaller one goes first). What a pause says, or
  /// `rate_limited` when the line is full or the account is parked beyond `until`, or `timeout`, `cancelled`.
  Task<Result<Turn>> admit(uint64_t ticket, std::string model, TokenUsage estimate, Deadline until);
  /// True: the key was refused, but its file has another one by now. Ask again.
  bool finish(const Turn& turn, const Ending& ending);
  AccountStatus status() const;

 private:
  struct Waiter;
  struct Pause {
    Error error;
    Instant next_probe;
  };
  /// Of a file: tells whether it is another one.
  struct Stamp {
    int64_t seconds = 0, nanoseconds = 0, size = 0;
    uint64_t inode = 0;
    bool operator==(const Stamp&) const = default;
  };

  Account(asio::any_io_executor executor, Provider provider, std::chrono::milliseconds probe_after);
  Result<> load_key(bool* is_public = nullptr);
  bool key_changed();
  std::optional<Error> refusal(const std::string& model, Turn& turn);
  void serve();
  void serve_at(Instant when);
  void take_turn(Waiter& waiter, Instant now);
  void learn(const Turn& turn, const Ending& ending, Instant now);
  void learn_overload(const Turn& turn, const Ending& ending, Instant now);
  bool pause(const Turn& turn, Failure& failure, Instant now);
  void park(Instant until);
  Error parked_too_long(Deadline until) const;

  asio::any_io_executor executor_;
  asio::steady_timer timer_;
  Provider provider_;
  std::chrono::milliseconds probe_after_;
  std::string key_;
  Stamp key_stamp_;
  InFlightLimit limit_;
  std::array<Pace, 4> paces_;  ///< requests, tokens, input tokens, output tokens
  std::map<uint64_t, Waiter*> waiting_;
  std::map<std::string, Pause> pauses_;  ///< by model; "" is the whole account
  Instant parked_until_{};
  int in_flight_ = 0;
  int64_t requests_ = 0, refused_ = 0;
};

}  // namespace assay::llm
