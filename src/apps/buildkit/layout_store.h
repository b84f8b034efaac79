// An OCI layout's blobs into a client's content store, for results in a directory (--output
// type=oci,tar=false).
#pragma once

#include <functional>
#include <string>

#include "apps/buildkit/client_store.h"
#include "base/result.h"

namespace berth::buildkit {

/// `read` gives the layout's tar piece by piece. The client writes index.json itself, by the answer's
/// descriptor.
Result<void> store_layout(const ClientStore& store, const std::function<Result<std::string>()>& read);

}  // namespace berth::buildkit
