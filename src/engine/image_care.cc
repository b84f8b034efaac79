// The store's answers, from worker threads.
#include "engine/image_care.h"

#include "engine/progress_relay.h"

namespace berth::engine {

io::Task<Result<storage::VerifyReport>> ImageCare::verify(std::vector<std::string> references,
                                                          storage::ProgressCallback progress) {
  storage::ImageStore* store = &engine_.image_store();
  storage::Database* database = &engine_.database();
  ProgressRelay relay = ProgressRelay::to(loop_, std::move(progress));
  storage::ProgressCallback callback = relay.callback();
  auto work = [store, database, references, callback](std::stop_token stop) {
    storage::VerifyOptions options{.references = references, .stop = std::move(stop), .progress = callback};
    return storage::verify_images(*store, *database, options);
  };
  co_return co_await loop_.on_worker(work);
}

io::Task<Result<storage::LayerTree>> ImageCare::tree() {
  storage::ImageStore* store = &engine_.image_store();
  storage::InUse in_use = engine_.layers_in_use();
  auto work = [store, in_use] { return storage::layer_tree(*store, in_use); };
  co_return co_await loop_.on_worker(work);
}

}  // namespace berth::engine
