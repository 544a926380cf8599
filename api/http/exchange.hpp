// One request and its answer, as logs and monitors see them.
#pragma once

#include <string>

#include "api/http/route.hpp"

namespace assay::api {

struct Exchange {
  std::string request_id;
  std::string run;                         ///< the run that the route is about; empty: none
  std::string key;                         ///< its id
  int64_t project = 0;                     ///< 0: not known
  const Route* route = nullptr;            ///< null: none was found
  Clock::time_point began = Clock::now();  ///< the header's end
  int status = 0;
  size_t bytes = 0;    ///< of the answer's body, as far as it was sent
  bool whole = false;  ///< all of the answer was sent

  /// Takes over what is known of `request` once it was admitted or refused.
  void learn(const Request& request);
};

/// Counts it and, with Server::Options::access_log, writes its line. No path, query or header is in it: those
/// may hold what is not for logs.
void record(Context& context, const Exchange& exchange);

}  // namespace assay::api
