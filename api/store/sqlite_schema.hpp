// The tables of the SQLite store.
#pragma once

namespace assay::api {

inline constexpr int kSchemaVersion = 1;
extern const char* const kSchema;

}  // namespace assay::api
