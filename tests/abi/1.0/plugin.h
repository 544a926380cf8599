/* The plugin ABI of Assay, version 1.0. C11 and C++.
 *
 * A plugin is a shared library that exports one symbol, `assay_plugin`, and offers one or more evaluators. It
 * is loaded into a process of its own inside a sandbox: it has no network, no secrets and no files but the
 * system's libraries and the folder it lies in. A plugin that crashes costs the item that it crashed on.
 *
 * Threads. [host thread] functions are called by the host on one thread, never two at once; [any thread]
 * functions may be called by either side from any thread, at any time between what is said there.
 *
 * Memory. Every pointer belongs to whoever passed it and is valid until the call that it was passed to
 * returns, unless something else is said; who needs it longer copies. Nothing is freed across the line.
 *
 * Versions. Another major version is refused. Within one, tables and structs only grow at their ends: each
 * begins with its size, and a reader takes no more than both sides have. New host services come as new names
 * with a revision ("assay.llm/1"), and a host that does not offer one says NULL.
 *
 * No exception may leave a function of a plugin. docs/plugins.md tells all this by examples; most authors
 * use the C++ wrapper, assay/evaluator.hpp. */
#ifndef ASSAY_PLUGIN_H
#define ASSAY_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ASSAY_ABI_MAJOR 1u
#define ASSAY_ABI_MINOR 0u

#define ASSAY_PLUGIN_EXPORT __attribute__((visibility("default")))

/* UTF-8, not terminated by a zero. `data` may be NULL when `size` is 0. */
typedef struct assay_text {
  const char* data;
  size_t size;
} assay_text;

/* One evaluation that is under way. Owned by the host; dead once done() was called for it. */
typedef struct assay_call assay_call;
typedef struct assay_host assay_host;
typedef struct assay_evaluator assay_evaluator;

typedef int32_t assay_verdict;
enum {
  ASSAY_SCORED = 0,
  ASSAY_ERRORED = 1, /* something broke: this is never a score of 0 */
  ASSAY_SKIPPED = 2  /* the evaluator does not apply to this item */
};

/* How one evaluation ended. All zero but `size` is a score of 0. */
typedef struct assay_outcome {
  uint32_t size;
  assay_verdict verdict;
  double score;       /* of scored: finite */
  int32_t passed;     /* of scored: 1 passed, -1 failed, 0 unsaid: the run's threshold decides */
  assay_text reason;  /* of scored and skipped: why, or empty; of errored: the message */
  assay_text metrics; /* of scored: a JSON object of names and finite numbers, or empty */
  assay_text
      kind; /* of errored: a kind of docs/plugins.md such as "judge_parse"; empty: "evaluator_error" */
} assay_outcome;

struct assay_host {
  uint32_t size;
  uint32_t abi_minor;
  /* [any thread] A table of the service (below), valid as long as the host; NULL when it is not offered. */
  const void* (*service)(const assay_host* host, const char* name);
  /* [any thread] Answers a call, exactly once; copies the outcome. Also from inside evaluate(). */
  void (*done)(assay_call* call, const assay_outcome* outcome);
  /* [any thread] Not 0 when nobody wants the answer any more, or its time is up. done() is owed even so. */
  int32_t (*cancelled)(const assay_call* call);
};

/* One evaluator with its parameters, made by create(). */
struct assay_evaluator {
  uint32_t size;
  /* [host thread] Begins one evaluation. Does not block: what takes long goes on in threads of the plugin or
   * in services, and done() answers. `item` is a JSON object (docs/evaluators.md), valid until done(). */
  void (*evaluate)(assay_evaluator* self, assay_call* call, assay_text item);
  /* [host thread] `call` is not wanted any more; done() is still owed, soon. May be NULL. */
  void (*cancel)(assay_evaluator* self, assay_call* call);
  /* [host thread] No call is under way, and no callback of a service will come. */
  void (*destroy)(assay_evaluator* self);
};

/* What a plugin exports, as  ASSAY_PLUGIN_EXPORT const assay_plugin_entry assay_plugin = {…};  */
typedef struct assay_plugin_entry {
  uint32_t size;
  uint32_t abi_major;
  uint32_t abi_minor;
  /* A JSON object, terminated by a zero:
   *   {"name": "text", "version": "1.2.0", "evaluators": [
   *     {"name": "exact", "summary": "1 when the texts are equal",
   *      "params": {…JSON schema of the parameters…},
   *      "services": ["assay.llm/1"],      what it cannot do without; [] when left out
   *      "max_in_flight": 64}]}            calls under way at once; 1 when left out
   * Names have the letters a-z, digits, "-" and "_". */
  const char* describe;
  /* [host thread] Makes the evaluator of that name. `params` is a JSON object that the schema accepts. NULL
   * on failure, with the reason written to `message`, which has room for `message_size` bytes and is
   * terminated by a zero. `host` outlives what is made. */
  assay_evaluator* (*create)(const assay_host* host, const char* name, assay_text params, char* message,
                             size_t message_size);
} assay_plugin_entry;

/* ---- services ---- */

/* Reads items and parameters, so that plain evaluators need no JSON library. A path is dotted:
 * "sample.output", "metadata.tags.0". Of a string the value is its text, of anything else its JSON. Each
 * returns 1 for a string, 2 for another value, 0 when there is none. */
#define ASSAY_SERVICE_JSON "assay.json/1"
typedef struct assay_json_service {
  uint32_t size;
  /* [any thread, but not for one call at once] Of the call's item; the value is valid until done().
   * "sample.text" and "ground_truth.text" are the plain text of either side. */
  int32_t (*item)(assay_call* call, assay_text path, assay_text* value);
  /* [host thread, in create()] Of the parameters; the value is valid until create() returns. */
  int32_t (*param)(const assay_host* host, assay_text path, assay_text* value);
} assay_json_service;

/* Lines for the item's log, which is shown beside its outcome. */
#define ASSAY_SERVICE_LOG "assay.log/1"
typedef struct assay_log_service {
  uint32_t size;
  void (*write)(assay_call* call, assay_text line); /* [any thread] */
} assay_log_service;

/* Completions by the models of the worker's configuration. The worker holds the keys, waits out rate limits,
 * retries, caches and counts the cost. */
#define ASSAY_SERVICE_LLM "assay.llm/1"
typedef struct assay_llm_reply {
  uint32_t size;
  assay_text text;   /* what the model said */
  assay_text finish; /* "stop", "length", "content_filter", "refusal", "tool" or "other" */
  assay_text all;    /* a JSON object: docs/plugins.md, "Completions" */
} assay_llm_reply;
/* Either `reply`, or NULL and an outcome (errored, with its kind), which is what the evaluation should end
 * with. */
typedef void (*assay_llm_done)(void* user, const assay_llm_reply* reply, const assay_outcome* outcome);
typedef struct assay_llm_service {
  uint32_t size;
  /* [any thread] `request` is a JSON object: {"model": slug, "messages": […], "params": {…}, "schema": {…}}.
   * `done` is called exactly once, on the host thread, never from inside complete(); when the call is
   * cancelled, soon, with an outcome of the kind "cancelled". */
  void (*complete)(assay_call* call, assay_text request, assay_llm_done done, void* user);
} assay_llm_service;

#ifdef __cplusplus
}
#endif

#endif
