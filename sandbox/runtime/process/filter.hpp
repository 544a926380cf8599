// The system calls that evaluators in processes of their own may make.
#pragma once

namespace assay::sandbox::process {

enum class Policy {
  command,    ///< programs and the processes they start
  installer,  ///< as command, and TCP over IPv4
  /// Interpreters: as command, but no memory that is writable and executable, and no shared memory.
  interpreter,
  /// On top of interpreter, for the process that runs an item: it starts no process and no program, and
  /// signals itself alone.
  item,
};

/// Whether Landlock or a namespace keeps signals from what is not the evaluator's; else it may send none.
enum class Signals { contained, refused };

/// Whether there is a place with files of the evaluator's own. Without one it may not change the mode, the
/// times or (by name) the size of any file: Landlock minds the last since its third version and the others
/// never, and they may be the files of whoever runs us.
enum class Files { own, none };

/// Installs the filter for `policy` on the calling thread; 0 or an errno. Needs no_new_privs. What is not
/// allowed fails with EPERM (or what a C library takes for "use something older"), so that an evaluator gets
/// an error it can read; what no honest program calls ends the process with SIGSYS. Async-signal-safe.
int install_filter(Policy policy, Signals signals, Files files) noexcept;

}  // namespace assay::sandbox::process
