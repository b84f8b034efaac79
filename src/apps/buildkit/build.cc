#include "apps/buildkit/build.h"

#include "apps/buildkit/exporters.h"
#include "apps/buildkit/frontend.h"
#include "apps/buildkit/provenance.h"
#include "base/format.h"
#include "base/json.h"

namespace berth::buildkit {
namespace {

using namespace std::chrono_literals;

constexpr auto session_time = 5s;
constexpr auto request_time = 10s;
constexpr size_t most_builds = 256;

bool is_dockerfile_frontend(const std::string& frontend, const Attributes& attributes) {
  if (frontend == "dockerfile.v0") return true;
  auto source = attributes.find("source");
  return frontend == "gateway.v0" && source != attributes.end() &&
         (source->second.starts_with("docker/dockerfile") ||
          source->second.find("/docker/dockerfile") != std::string::npos);
}

std::vector<ExportRequest> exports_of(const moby::buildkit::v1::SolveRequest& request) {
  std::vector<ExportRequest> exports;
  for (const auto& exporter : request.exporters()) {
    exports.push_back({.type = exporter.type(),
                       .attributes = {exporter.attrs().begin(), exporter.attrs().end()},
                       .number = static_cast<int>(exports.size())});
  }
  if (exports.empty() && !request.exporter_deprecated().empty()) {
    exports.push_back({.type = request.exporter_deprecated(),
                       .attributes = {request.exporter_attrs_deprecated().begin(),
                                      request.exporter_attrs_deprecated().end()}});
  }
  return exports;
}

}  // namespace

Result<void> Build::begin(moby::buildkit::v1::SolveRequest request) {
  std::lock_guard lock(mutex_);
  if (request_) return failure(Kind::WrongState, "a build \"{}\" exists already", ref_.substr(0, 64));
  request_ = std::move(request);
  changed_.notify_all();
  return {};
}

Result<moby::buildkit::v1::SolveRequest> Build::wait_for_request(const Cancelled& cancelled) {
  std::unique_lock lock(mutex_);
  auto deadline = std::chrono::steady_clock::now() + request_time;
  while (!request_) {
    if (cancelled()) return Error(Kind::Cancelled, "build cancelled");
    if (std::chrono::steady_clock::now() > deadline)
      return failure(Kind::NotFound, "no build \"{}\" runs", ref_.substr(0, 64));
    changed_.wait_for(lock, 100ms);
  }
  return *request_;
}

Result<Build::Outcome> Build::run_frontend(const std::string& frontend, const Attributes& attributes,
                                           const Cancelled& cancelled) {
  if (!is_dockerfile_frontend(frontend, attributes))
    return failure(Kind::Unsupported, "frontend \"{}\" is not supported: this engine builds from Dockerfiles",
                   frontend.substr(0, 64));
  TRY(auto request, wait_for_request(cancelled));
  TRY(BuildParameters parameters, parse_attributes(attributes));
  std::shared_ptr<Session> session;
  if (auto found = sessions_.find(request.session(), session_time); found) session = std::move(*found);
  std::vector<CacheOption> exports;
  for (const auto& entry : request.cache().exports())
    exports.push_back({.type = entry.type(), .attributes = {entry.attrs().begin(), entry.attrs().end()}});
  ClientSide client{.session = std::move(session)};
  TRY(client.caches, cache_places(parameters.cache_imports, exports));
  {
    std::lock_guard lock(mutex_);
    client.body = input_.body;
    client.registries = input_.registries;
  }
  TRY(BuiltImages built, build_dockerfile(engine_, client, parameters, progress_, cancelled));
  Outcome outcome{
      .product = {.several = parameters.several, .provenance_by_default = parameters.provenance.by_default},
      .metadata = std::move(built.metadata)};
  for (BuiltImage& image : built.images) {
    PlatformImage made{.platform = image.platform, .id = std::move(image.id)};
    const BuildFacts facts{.ref = ref_,
                           .platform = image.platform,
                           .started = image.started,
                           .finished = image.finished,
                           .materials = std::move(image.materials),
                           .dockerfile = built.dockerfile};
    if (parameters.provenance.wanted) made.provenance = to_json(provenance(parameters, attributes, facts));
    BuildParameters whole = parameters;
    whole.provenance.max = true;
    made.history = to_json(provenance(whole, attributes, facts));
    outcome.product.images.push_back(std::move(made));
  }
  std::lock_guard lock(mutex_);
  provenance_by_default_ = outcome.product.provenance_by_default;
  if (!built.cache_manifest.empty()) cache_manifest_ = std::move(built.cache_manifest);
  return outcome;
}

bool Build::has_provenance_by_default() const {
  std::lock_guard lock(mutex_);
  return provenance_by_default_;
}

void Build::set_input(Input input) {
  std::lock_guard lock(mutex_);
  input_ = std::move(input);
}

std::string Build::add_result(PlatformImage image) {
  std::lock_guard lock(mutex_);
  std::string reference = fmt::format("{}-{:03}", ref_, results_.size());
  results_[reference] = std::move(image);
  return reference;
}

Result<PlatformImage> Build::image_of(const std::string& reference) const {
  std::lock_guard lock(mutex_);
  auto found = results_.find(reference);
  if (found == results_.end())
    return failure(Kind::NotFound, "no such reference: {}", reference.substr(0, 128));
  return found->second;
}

void Build::set_returned(Returned returned) {
  std::lock_guard lock(mutex_);
  if (!returned_) returned_ = std::move(returned);
  changed_.notify_all();
}

Result<Product> Build::wait_for_return(const Cancelled& cancelled) {
  std::unique_lock lock(mutex_);
  while (!returned_) {
    if (cancelled()) return Error(Kind::Cancelled, "build cancelled");
    changed_.wait_for(lock, 100ms);
  }
  if (returned_->error) return *returned_->error;
  return returned_->product;
}

Result<std::map<std::string, std::string>> Build::export_product(const Product& product,
                                                                 const Cancelled& cancelled) {
  TRY(auto request, wait_for_request(cancelled));
  std::map<std::string, std::string> answer;
  {
    std::lock_guard lock(mutex_);
    if (!cache_manifest_.empty()) answer["cache.manifest"] = cache_manifest_;
  }
  if (product.images.empty()) return answer;
  std::shared_ptr<Session> session;
  if (auto found = sessions_.find(request.session(), session_time); found) session = std::move(*found);
  const Exporting exporting{
      .engine = engine_, .session = std::move(session), .progress = progress_, .cancelled = cancelled};
  bool stored = false;
  Result<void> exported;
  for (const ExportRequest& wanted : exports_of(request)) {
    stored |= wanted.type == "moby" || wanted.type == "image";
    exported = export_to(exporting, wanted, product, answer);
    if (!exported) break;
  }
  if (!stored) {
    for (const PlatformImage& image : product.images) remove_unnamed(engine_, image.id);
  }
  if (!exported) return std::move(exported).error();
  return answer;
}

bool BuildTable::knows(const std::string& ref) const {
  std::lock_guard lock(mutex_);
  return builds_.contains(ref);
}

std::shared_ptr<Build> BuildTable::get(const std::string& ref) {
  std::lock_guard lock(mutex_);
  auto [entry, made] = builds_.try_emplace(ref);
  if (!made) return entry->second;
  entry->second = std::make_shared<Build>(ref, engine_, sessions_);
  order_.push_back(ref);
  if (order_.size() > most_builds) {
    builds_.erase(order_.front());
    order_.erase(order_.begin());
  }
  return builds_.at(ref);
}

}  // namespace berth::buildkit
