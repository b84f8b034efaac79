// One package, several ways: a function's zip and layers over its runtime's base as an image that is a
// function, and the zip back out of such an image. Blocking: call from worker threads.
#pragma once

#include <string>
#include <vector>

#include "base/digest.h"
#include "base/result.h"
#include "functions/model.h"
#include "spec/reference.h"
#include "storage/byte_stream.h"
#include "storage/image_store.h"

namespace berth::functions {

/// Labels of images that were made of zips, so that the way back finds the handler.
inline constexpr const char* runtime_label = "io.berth.function.runtime";
inline constexpr const char* handler_label = "io.berth.function.handler";

/// Base + layers (below /opt) + code (below /var/task); CMD is the handler, the environment the function's.
/// The same function gives the same layers.
Result<Digest> make_function_image(storage::ImageStore& images, const Digest& base,
                                   const FunctionVersion& function, std::vector<spec::Reference> tags);

struct ImageFunction {
  std::string runtime, handler;  ///< empty: the image does not say
};
/// /var/task of the image as a zip into `sink`. NotFound: it has none.
Result<ImageFunction> zip_of_image(storage::ImageStore& images, std::string_view reference,
                                   storage::ByteSink& sink, uint64_t max_bytes);

}  // namespace berth::functions
