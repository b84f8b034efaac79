// berth's own routes for packages: POST /_berth/package/image makes an image of a function, GET
// /_berth/package/zip gives the zip out of an image. Registered as the further service "package".
#pragma once

#include "api/lambda/services.h"
#include "functions/runtimes/runtime_bases.h"
#include "io/task.h"

namespace berth::storage {
class ImageStore;
}

namespace berth::api {

class PackageApi {
 public:
  /// All must outlive the object.
  PackageApi(io::EventLoop& loop, functions::Catalog& catalog, functions::RuntimeBases& bases,
             storage::ImageStore& images)
      : loop_(loop), catalog_(catalog), bases_(bases), images_(images) {}

  io::Task<void> handle(io::Exchange& exchange, AwsCaller caller);

 private:
  io::Task<void> make_image(io::Exchange& exchange, AwsCaller caller);
  io::Task<void> send_zip(io::Exchange& exchange);

  io::EventLoop& loop_;
  functions::Catalog& catalog_;
  functions::RuntimeBases& bases_;
  storage::ImageStore& images_;
};

}  // namespace berth::api
