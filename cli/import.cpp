// `assay import`: what was made for other services, as evaluation files.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "cli/command.hpp"
#include "cli/openai/import.hpp"

namespace assay::cli {
namespace {

int run_import(const openai::ImportOptions& options) {
  const auto imported = openai::import_eval(options);
  if (!imported) return report(imported.error());
  for (const std::string& path : imported->files) std::printf("%s\n", path.c_str());
  for (const std::string& note : imported->notes) std::fprintf(stderr, "note: %s\n", note.c_str());
  std::fprintf(stderr, "Run it: assay run %s\n", imported->files.front().c_str());
  return kPassed;
}

}  // namespace

void declare_import(CLI::App& app, Chosen& chosen) {
  auto* import = app.add_subcommand("import", "make an evaluation file of what was made for another service");
  import->require_subcommand(1);
  auto* command = import->add_subcommand(
      "openai-eval", "an eval of OpenAI's hosted service, or graders of it or of reinforcement fine-tuning");
  auto options = std::make_shared<openai::ImportOptions>();
  command
      ->add_option("file", options->file,
                   "its JSON: GET /v1/evals/ID, a list of evals, a grader or a list of them")
      ->required();
  command->add_option("--run", options->run, "the JSON of a run of it: its rows, and the model that it asks");
  command->add_option("--data", options->data,
                      "the rows, a data file: {\"item\": {…}, \"sample\": {…}} each, or the item itself");
  command->add_option("--out", options->out,
                      "the folder to write to, made when it is not there; default: the eval's name");
  command->add_option("--name", options->name, "which eval of a list: its name or id");
  command->callback([options, &chosen] { chosen = [options] { return run_import(*options); }; });
}

}  // namespace assay::cli
