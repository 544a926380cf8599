// GET /openapi.json: the API as an OpenAPI 3.1 document.
//
// What requests hold is written down by the readers that check them (api/fields.hpp); what may be answered
// follows from the properties of a route and its Description. The schemas of answers are in answers.json.
#pragma once

#include <span>

#include "api/http/route.hpp"
#include "core/json.hpp"

namespace assay::api {

Json describe_api(std::span<const Route> routes);

}  // namespace assay::api
