// A path within an image of several layers, as what can be mounted without mounting the whole image first.
// Internal to engine/.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace berth::engine {

/// Parts of layers, top first, whose overlay is the path's directory; one part is to be bound as it is (a
/// file, or a directory of a single layer).
using LayerParts = std::vector<std::string>;

/// `layers`: the image's layer directories on this host, top first, two at least. Links in `subpath` are
/// followed within the image. InvalidArgument: there is no such path ("cannot access path"), or it leaves the
/// image.
Result<LayerParts> find_in_layers(const std::vector<std::string>& layers, const std::string& subpath);

/// What a path that cannot be opened beneath `base` is told as.
Error subpath_error(const std::string& base, const std::string& subpath, const Error& cause);

}  // namespace berth::engine
