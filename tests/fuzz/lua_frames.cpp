// Any bytes as what the two ends of the protocol read: requests in the host, answers in the pool, JSON in an
// evaluator.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "sandbox/runtime/answer.hpp"
#include "sandbox/runtime/wire/frames.hpp"
#include "sandbox/runtime/wire/json_reader.hpp"

using namespace assay::sandbox;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  static AnswerParser parser;
  parser.parse(text);
  if (const auto request = wire::parse_request(text)) wire::parse_initialize(request->params);
  wire::parse_initialize(text);
  wire::JsonReader(text).skip();

  FrameBuffer answers(1 << 16);
  for (size_t at = 0; at < size; at += 7) {
    answers.append(text.substr(at, 7));
    while (const auto frame = answers.next()) parser.parse(*frame);
  }
  wire::FrameReader requests(1 << 16);
  if (size > 0) memcpy(requests.prepare(size), data, size);
  requests.commit(size);
  while (const auto frame = requests.next()) wire::parse_request(*frame);
  return 0;
}
