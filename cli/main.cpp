// assay: the command line.
#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>

#include "cli/command.hpp"

namespace assay::cli {

int report(const Error& error) {
  std::fprintf(stderr, "assay: %s\n", error.message.c_str());
  return error.kind == ErrorKind::config ? kBadInput : kCouldNot;
}

namespace {

int run(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);  // a closed pipe is an error of the write
  CLI::App app{"assay: evaluations of AI systems, on your own machines."};
  app.set_version_flag("--version", ASSAY_VERSION);
  app.require_subcommand(1);
  Chosen chosen;
  declare_run(app, chosen);
  declare_submit(app, chosen);
  declare_runs(app, chosen);
  declare_serve(app, chosen);
  declare_evaluators(app, chosen);
  declare_plugins(app, chosen);
  declare_import(app, chosen);
  declare_key(app, chosen);
  declare_doctor(app, chosen);
  declare_mock_llm(app, chosen);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? kPassed : kBadInput;
  }
  return chosen();
}

}  // namespace
}  // namespace assay::cli

int main(int argc, char** argv) {
  return assay::cli::run(argc, argv);
}
