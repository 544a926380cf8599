// Attacks by evaluators that are processes of their own, one row each. A row is tried in every mode
// (attack_run.hpp), and after each it is looked whether the host has come to harm.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "core/error.hpp"

namespace assay::sandbox {

/// The limits that a row runs under.
enum class Pace {
  roomy,  ///< seconds of everything: what is to end by itself
  hasty,  ///< a wall deadline soon, processor time enough
  lean,   ///< processor time soon, the wall deadline far off: on a busy machine that must not come first
};

/// Where the source stands, and so what language it is written in.
enum class Place {
  item,  ///< python: the body of attack(item), run by run_evaluation (attack_stage.py); attack_tools.py is at
         ///< hand
  load,  ///< python: the top level of an evaluator, with attack_tools.py; run_evaluation gives 1 if it has no
         ///< other
  program,  ///< command: the body of attack(item), run by python3 as a program that prints what is returned
  script,   ///< shell; `host` describes the host, `refused` runs a command that has to fail
  words,    ///< command: the whole source, a JSON array of strings
  module,   ///< node: the whole module behind node_attack_tools.mjs
  plugin,   ///< plugin: the name of an attack in attacker.cpp
};

using Endings = std::vector<ErrorKind>;

struct Attack {
  std::string name;  ///< the row of the catalogue that it tries, if there is one, then what it does
  const char* language;
  Place place;
  std::string source;
  /// How it may end. Empty: it shows by itself that it failed, and has the score 1; bodies in Python give
  /// that when they return nothing, scripts when they end.
  Endings ends_as = {};
  bool may_be_scored = false;  ///< beside ends_as: which of the two comes first is not ours to say
  Pace pace = Pace::roomy;
};

inline constexpr auto kTimeout = ErrorKind::timeout;
inline constexpr auto kCpu = ErrorKind::cpu_limit;
inline constexpr auto kMemory = ErrorKind::memory_limit;
inline constexpr auto kOutput = ErrorKind::output_limit;
inline constexpr auto kPids = ErrorKind::pids_limit;
inline constexpr auto kRaises = ErrorKind::evaluator_error;
inline constexpr auto kCrashed = ErrorKind::crashed;
inline constexpr auto kBadResult = ErrorKind::bad_result;
inline constexpr auto kForbidden = ErrorKind::policy_violation;
inline constexpr auto kConfig = ErrorKind::config;

/// Writes rows in few words.
class Table {
 public:
  /// By the process of an item in Python.
  void harmless(std::string name, std::string body) {
    add(std::move(name), "python", Place::item, std::move(body));
  }
  void ends(std::string name, Endings endings, std::string body, Pace pace = Pace::roomy) {
    add(std::move(name), "python", Place::item, std::move(body), std::move(endings), false, pace);
  }
  void may_end(std::string name, Endings endings, std::string body, Pace pace = Pace::roomy) {
    add(std::move(name), "python", Place::item, std::move(body), std::move(endings), true, pace);
  }

  /// By a program, which may start others.
  void program(std::string name, std::string body, Endings endings = {}, Pace pace = Pace::roomy) {
    add(std::move(name), "command", Place::program, std::move(body), std::move(endings), false, pace);
  }
  void program_may_end(std::string name, Endings endings, std::string body, Pace pace = Pace::roomy) {
    add(std::move(name), "command", Place::program, std::move(body), std::move(endings), true, pace);
  }
  /// By either.
  void both(const std::string& name, const std::string& body) {
    harmless(name, body);
    program(name, body);
  }
  void both_end(const std::string& name, const Endings& endings, const std::string& body,
                Pace pace = Pace::roomy) {
    ends(name, endings, body, pace);
    program(name, body, endings, pace);
  }
  void words(std::string name, std::string source, Endings endings) {
    add(std::move(name), "command", Place::words, std::move(source), std::move(endings));
  }

  void script(std::string name, std::string source, Endings endings = {}, Pace pace = Pace::roomy) {
    add(std::move(name), "shell", Place::script, std::move(source), std::move(endings), false, pace);
  }
  void script_may_end(std::string name, Endings endings, std::string source, Pace pace = Pace::roomy) {
    add(std::move(name), "shell", Place::script, std::move(source), std::move(endings), true, pace);
  }

  void load(std::string name, Endings endings, std::string source, Pace pace = Pace::roomy) {
    add(std::move(name), "python", Place::load, std::move(source), std::move(endings), false, pace);
  }
  void load_may_end(std::string name, Endings endings, std::string source, Pace pace = Pace::roomy) {
    add(std::move(name), "python", Place::load, std::move(source), std::move(endings), true, pace);
  }

  /// By the process of an item in JavaScript: the body of run_evaluation(item), which gives 1 if it returns
  /// nothing.
  void node(std::string name, const std::string& body, Endings endings = {}, Pace pace = Pace::roomy) {
    add(std::move(name), "node", Place::module, evaluating(body), std::move(endings), false, pace);
  }
  void node_may_end(std::string name, Endings endings, const std::string& body, Pace pace = Pace::roomy) {
    add(std::move(name), "node", Place::module, evaluating(body), std::move(endings), true, pace);
  }
  void node_load(std::string name, const std::string& top_level, Pace pace = Pace::roomy) {
    add(std::move(name), "node", Place::module, top_level + "\nexport const run_evaluation = () => 1;\n",
        {kConfig}, false, pace);
  }

  /// By a plugin, in the process of its host.
  void plugin(std::string name, std::string attack, Endings endings = {}, Pace pace = Pace::roomy) {
    add(std::move(name), "plugin", Place::plugin, std::move(attack), std::move(endings), false, pace);
  }

  const std::vector<Attack>& rows() const { return rows_; }

 private:
  static std::string evaluating(const std::string& body) {
    return "export async function run_evaluation(item) {\n" + body + "\nreturn 1;\n}\n";
  }

  void add(std::string name, const char* language, Place place, std::string source, Endings endings = {},
           bool may_be_scored = false, Pace pace = Pace::roomy) {
    rows_.push_back(
        {std::move(name), language, place, std::move(source), std::move(endings), may_be_scored, pace});
  }

  std::vector<Attack> rows_;
};

void add_resource_attacks(Table& table);
void add_escape_attacks(Table& table);
void add_result_attacks(Table& table);
void add_load_attacks(Table& table);
void add_program_attacks(Table& table);
void add_script_attacks(Table& table);
void add_node_attacks(Table& table);
void add_plugin_attacks(Table& table);

}  // namespace assay::sandbox
