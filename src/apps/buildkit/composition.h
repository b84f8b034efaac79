// The engine's compositions (POST /berth/images/compose and .../layout): a product as one index or manifest,
// with annotations and attestations.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "apps/buildkit/engine_client.h"
#include "apps/buildkit/exporters.h"
#include "apps/buildkit/product.h"
#include "apps/buildkit/session.h"
#include "base/json_fwd.h"
#include "base/result.h"

namespace berth::buildkit {

enum class WithAttestations { No, Yes };

/// Names as an exporter's attribute "name" lists them, with their tags.
Result<std::vector<std::string>> names_of(const ExportRequest& request);

/// The body of a composition. InvalidArgument: an annotation for a platform that is not built.
/// "annotation.KEY" is a manifest's; "annotation-index", "annotation-manifest-descriptor",
/// "annotation-index-descriptor" and "annotation[linux/arm64].KEY" say where else.
Result<Json> composition_of(const Product& product, const ExportRequest& request,
                            WithAttestations attestations);

/// Whether the product is more than one image as the engine keeps it.
bool needs_composition(const Product& product, const ExportRequest& request, WithAttestations attestations);

struct Composed {
  std::string image;       ///< id of the image that bears the names
  std::string descriptor;  ///< JSON, as the answer of an exporter has it
  std::string digest;
};
enum class Keep { No, Yes };
Result<Composed> compose(const EngineClient& engine, const Json& composition, Keep keep,
                         const Cancelled& cancelled);

/// The bytes of its layout, to be read on another thread; `format` is "oci" or "docker".
Result<void> read_layout(const EngineClient& engine, const Json& composition, const std::string& format,
                         const std::function<Result<void>(std::string_view)>& write,
                         const Cancelled& cancelled);

}  // namespace berth::buildkit
