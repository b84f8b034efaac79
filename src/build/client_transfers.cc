#include "build/client_transfers.h"

#include "base/id.h"

namespace berth::build {

io::Task<Result<void>> ClientTransfer::bring(std::vector<spec::BuildCacheLayer> chain) {
  std::optional<Digest> parent;
  for (const spec::BuildCacheLayer& layer : chain) {
    Digest chain_id = spec::chain_id(parent, layer.diff_id);
    lease_.add_chain(chain_id);
    lease_.add_blob(layer.blob.digest);
    bool here = images_.snapshotter().has_layer(chain_id) || images_.content().contains(layer.blob.digest);
    if (!here) {
      io::Task<Result<void>> bringing = bring_blob(layer.blob);
      CO_CHECK(co_await std::move(bringing));
    }
    parent = std::move(chain_id);
  }
  co_return Result<void>();
}

io::Task<Result<void>> ClientTransfer::bring_blob(spec::Descriptor blob) {
  std::shared_ptr<Want>& entry = wants_[blob.digest];
  std::shared_ptr<Want> want = entry;
  if (!want) {
    want = entry = std::make_shared<Want>();
    want->size = static_cast<uint64_t>(blob.size);
    ask_(blob);
  }
  co_await want->answered.wait();
  if (want->refusal) co_return *want->refusal;
  co_return Result<void>();
}

std::optional<uint64_t> ClientTransfer::wanted(const Digest& digest) const {
  auto found = wants_.find(digest);
  if (found == wants_.end() || found->second->answered.is_set()) return std::nullopt;
  return found->second->size;
}

void ClientTransfer::answer(const Digest& digest, std::optional<Error> refusal) {
  auto found = wants_.find(digest);
  if (found == wants_.end() || found->second->answered.is_set()) return;
  found->second->refusal = std::move(refusal);
  found->second->answered.set();
}

std::shared_ptr<ClientTransfer> ClientTransfers::open(ClientTransfer::Ask ask) {
  std::erase_if(open_, [](const auto& entry) { return entry.second.expired(); });
  auto made = std::make_shared<ClientTransfer>(images_, random_hex(16), std::move(ask));
  open_.emplace(made->token(), made);
  return made;
}

std::shared_ptr<ClientTransfer> ClientTransfers::find(const std::string& token) const {
  auto found = open_.find(token);
  return found == open_.end() ? nullptr : found->second.lock();
}

}  // namespace berth::build
