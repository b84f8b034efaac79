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

io::Task<Result<storage::Composition>> ImageCare::compose(storage::CompositionRequest request, Keep keep) {
  storage::ImageStore* store = &engine_.image_store();
  auto work = [store, request, keep](std::stop_token stop) mutable -> Result<storage::Composition> {
    request.stop = std::move(stop);
    TRY(auto made, storage::compose_images(*store, request));
    if (keep == Keep::Yes) CHECK(storage::keep_composition(*store, made));
    return made;
  };
  CO_TRY(auto made, co_await loop_.on_worker(std::move(work)));
  if (keep == Keep::Yes) {
    const std::string id = made.image.str();
    for (const spec::Reference& name : made.names)
      engine_.events().publish("image", "tag", id, {{"name", name.familiar_string()}});
  }
  co_return made;
}

io::Task<Result<void>> ImageCare::layout(storage::CompositionRequest request, storage::LayoutFlavour flavour,
                                         storage::ByteSink& out) {
  storage::ImageStore* store = &engine_.image_store();
  storage::ByteSink* sink = &out;
  auto work = [store, sink, request, flavour](std::stop_token stop) mutable -> Result<void> {
    request.stop = stop;
    TRY(const auto made, storage::compose_images(*store, request));
    return storage::write_layout(*store, made, flavour, *sink, std::move(stop));
  };
  co_return co_await loop_.on_worker(std::move(work));
}

}  // namespace berth::engine
