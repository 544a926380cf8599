// The PostgreSQL schema, step by step: the step at place n leads from version n to n + 1.
#pragma once

#include <vector>

namespace assay::api {

extern const std::vector<const char*> kPostgresMigrations;

}  // namespace assay::api
