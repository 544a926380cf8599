/* A plugin in C, built against the header of ABI 1.0 as it was released (beside this file). It must load for ever. */
#include <stdlib.h>
#include <string.h>

#include "plugin.h"

typedef struct constant {
  assay_evaluator base;
  const assay_host* host;
  double score;
} constant;

static void evaluate(assay_evaluator* self, assay_call* call, assay_text item) {
  constant* const mine = (constant*)self;
  assay_outcome outcome = {0};
  outcome.size = sizeof outcome;
  outcome.verdict = item.size > 0 ? ASSAY_SCORED : ASSAY_SKIPPED;
  outcome.score = mine->score;
  outcome.passed = -1;
  outcome.reason.data = "constant";
  outcome.reason.size = 8;
  mine->host->done(call, &outcome);
}

static void destroy(assay_evaluator* self) { free(self); }

static assay_evaluator* create(const assay_host* host, const char* name, assay_text params, char* message,
                               size_t message_size) {
  const assay_json_service* const json = (const assay_json_service*)host->service(host, ASSAY_SERVICE_JSON);
  const assay_text path = {"score", 5};
  assay_text value;
  constant* made;
  (void)params;
  if (strcmp(name, "constant") != 0 || json == NULL || json->param(host, path, &value) != 2) {
    strncpy(message, "score is missing", message_size - 1);
    message[message_size - 1] = 0;
    return NULL;
  }
  made = calloc(1, sizeof *made);
  made->base.size = sizeof(assay_evaluator);
  made->base.evaluate = evaluate;
  made->base.destroy = destroy;
  made->host = host;
  made->score = atof(value.data);
  return &made->base;
}

ASSAY_PLUGIN_EXPORT const assay_plugin_entry assay_plugin = {
    sizeof(assay_plugin_entry), ASSAY_ABI_MAJOR, ASSAY_ABI_MINOR,
    "{\"name\":\"constant\",\"version\":\"1.0.0\",\"evaluators\":[{\"name\":\"constant\"}]}", create};
