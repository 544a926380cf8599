// Every route of this server, resource by resource. What is not in these tables is not served.
#pragma once

#include <vector>

#include "api/http/route.hpp"

namespace assay::api {

std::vector<Route> health_routes();
std::vector<Route> container_routes();
std::vector<Route> dataset_routes();
std::vector<Route> evaluator_routes();
std::vector<Route> run_routes();
std::vector<Route> worker_routes();
std::vector<Route> audit_routes();
std::vector<Route> openapi_routes();

std::vector<Route> all_routes();

/// A reader of a body or a query as descriptions take it: they want nothing of what it returns.
template <auto read, class From>
void asks(From& from) {
  static_cast<void>(read(from));
}

inline constexpr bool kCreates = true;  ///< Route::creates

/// What a monitor is told, gathered at this moment.
Task<std::string> metrics_text(Context& context);

/// Who may do what: whoever may submit may also read; what cannot be undone needs an admin.
inline constexpr unsigned kMayRead = kRead | kSubmit | kAdmin;
inline constexpr unsigned kMayReadRows = kMayRead | kWorker;
inline constexpr unsigned kMaySubmit = kSubmit | kAdmin;

}  // namespace assay::api
