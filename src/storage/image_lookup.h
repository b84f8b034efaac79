// Which image a reference means, by the table of images alone: what is damaged otherwise can still be named.
#pragma once

#include <string_view>

#include "base/digest.h"
#include "base/result.h"
#include "storage/image_table.h"

namespace berth::storage {

/// By name, name:tag, name@digest, id or unambiguous prefix of one. Missing: NotFound "No such image: x";
/// several: InvalidArgument.
Result<Digest> find_image(const ImageTable& table, std::string_view reference);
/// The error of an image that is not there.
Error no_such_image(std::string_view reference);

}  // namespace berth::storage
