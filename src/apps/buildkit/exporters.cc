#include "apps/buildkit/exporters.h"

#include <fcntl.h>
#include <unistd.h>

#include <thread>

#include "apps/buildkit/byte_queue.h"
#include "apps/buildkit/client_store.h"
#include "apps/buildkit/composition.h"
#include "apps/buildkit/download.h"
#include "apps/buildkit/file_sync.h"
#include "apps/buildkit/image_push.h"
#include "apps/buildkit/layout_store.h"
#include "apps/buildkit/platform_archive.h"
#include "base/bytes.h"
#include "base/format.h"
#include "base/json.h"
#include "spec/reference.h"
#include "sys/fd.h"

namespace berth::buildkit {
namespace {

using Answer = std::map<std::string, std::string>;
using ReadBytes = std::function<Result<std::string>()>;

std::string attribute(const ExportRequest& request, const char* name) {
  const auto found = request.attributes.find(name);
  return found == request.attributes.end() ? std::string() : found->second;
}

bool is_on(const ExportRequest& request, const char* name) {
  const std::string value = attribute(request, name);
  return value == "true" || value == "1";
}

/// A container that is never started: its files are the image's.
class Unpacked {
 public:
  static Result<std::unique_ptr<Unpacked>> create(const EngineClient& engine, const std::string& image) {
    Json body = {{"Image", image}, {"Cmd", Json::array({"/"})}, {"Labels", {{"berth.export", "1"}}}};
    TRY(auto answer, engine.send({.method = "POST", .path = "/containers/create", .body = to_json(body)}));
    TRY(Json object, parse_json(answer.body));
    TRY(std::string id, json_string(object, "Id"));
    return std::unique_ptr<Unpacked>(new Unpacked(engine, std::move(id)));
  }
  ~Unpacked() {
    [[maybe_unused]] auto removed = engine_.send(
        {.method = "DELETE", .path = "/containers/" + id_, .query = {{"force", "1"}, {"v", "1"}}});
  }
  const std::string& id() const { return id_; }

 private:
  Unpacked(const EngineClient& engine, std::string id) : engine_(engine), id_(std::move(id)) {}
  const EngineClient& engine_;
  std::string id_;
};

/// One export: its steps share the request and what was made.
class Export {
 public:
  Export(const Exporting& with, const ExportRequest& request, const Product& product, Answer& answer)
      : with_(with), request_(request), product_(product), answer_(answer) {}

  Result<void> run() {
    const std::string& type = request_.type;
    const bool store = type == "moby" || type == "image";
    const bool archive = type == "docker" || type == "oci";
    const bool files = type == "tar" || type == "local";
    if (!store && !archive && !files)
      return failure(Kind::Unsupported,
                     "exporter \"{}\" is not supported: it is one of docker, image, local, oci, tar",
                     type.substr(0, 64));
    if (!store && with_.session == nullptr)
      return Error(Kind::InvalidArgument, "the client's session is not connected");
    if (is_on(request_, "push-by-digest"))
      return Error(Kind::Unsupported, "push-by-digest is not supported: push by name");
    vertex_ = with_.progress.begin(type == "oci" ? "exporting to oci image format"
                                   : files       ? "exporting to client directory"
                                                 : "exporting to image");
    Result<void> done = store ? to_store() : archive ? to_archive() : to_files();
    with_.progress.complete(vertex_, done ? std::string() : done.error().message());
    if (done && wants_push()) done = push_all();
    return done;
  }

 private:
  void tell(const std::string& what) { with_.progress.status(vertex_, what, 0, 0, true); }

  /// What nobody asked for goes with images that leave the engine alone: in the engine it would be in the way
  /// of every build's speed.
  WithAttestations attestations(bool leaves) const {
    if (request_.type == "docker") return WithAttestations::No;
    return leaves || !product_.provenance_by_default ? WithAttestations::Yes : WithAttestations::No;
  }

  void answer_image(const std::string& image) {
    answer_["containerimage.config.digest"] = image;
    answer_["containerimage.digest"] = image;
  }
  void answer_composed(const Composed& composed) {
    answer_["containerimage.config.digest"] = composed.image;
    answer_["containerimage.digest"] = composed.digest;
    answer_["containerimage.descriptor"] = to_base64(composed.descriptor);
  }
  void answer_names(const std::vector<std::string>& names) {
    std::string all;
    for (const std::string& name : names) all += (all.empty() ? "" : ",") + name;
    if (!all.empty()) answer_["image.name"] = all;
  }

  /// With "moby" the client pushes by itself when the build is done, as docker's exporter of that name has
  /// it; "image" leaves it to the engine.
  bool wants_push() const { return request_.type == "image" && is_on(request_, "push"); }

  Result<void> to_store() {
    TRY(const auto names, names_of(request_));
    const WithAttestations with = attestations(is_on(request_, "push"));
    tell("exporting layers");
    if (needs_composition(product_, request_, with)) return to_store_composed(names, with);
    const std::string& image = product_.images.front().id;
    tell("writing image " + image);
    for (const std::string& name : names) {
      TRY(const auto reference, spec::Reference::parse(name));
      CHECK(with_.engine.send({.method = "POST",
                               .path = "/images/" + image + "/tag",
                               .query = {{"repo", reference.name()}, {"tag", reference.tag()}}}));
      tell("naming to " + name);
    }
    answer_names(names);
    answer_image(image);
    return {};
  }

  Result<void> to_store_composed(const std::vector<std::string>& names, WithAttestations with) {
    TRY(const Json composition, composition_of(product_, request_, with));
    TRY(const Composed composed, compose(with_.engine, composition, Keep::Yes, with_.cancelled));
    tell((product_.several ? "exporting manifest list " : "exporting manifest ") + composed.digest);
    for (const std::string& name : names) tell("naming to " + name);
    answer_names(names);
    answer_composed(composed);
    // The index holds what it needs of other platforms' images.
    for (const PlatformImage& image : product_.images)
      if (image.id != composed.image && !names.empty()) remove_unnamed(with_.engine, image.id);
    return {};
  }

  Result<void> push_all() {
    TRY(const auto names, names_of(request_));
    for (const std::string& name : names) {
      TRY(auto reference, spec::Reference::parse(name));
      CHECK(push_image(with_.engine, with_.session.get(), reference, with_.progress, with_.cancelled));
    }
    return {};
  }

  Result<void> to_archive() {
    if (request_.type == "docker" && product_.images.size() > 1) {
      return Error(Kind::InvalidArgument,
                   "docker's archives hold one platform's image: use type=oci for an index of several");
    }
    TRY(Json composition, composition_of(product_, request_, attestations(true)));
    if (request_.type == "docker") composition["Index"] = false;
    TRY(const Composed composed, compose(with_.engine, composition, Keep::No, with_.cancelled));
    TRY(const auto names, names_of(request_));
    answer_names(names);
    answer_composed(composed);
    Produced layout([this, composition](ByteQueue& queue) {
      auto write = [&queue](std::string_view bytes) { return queue.write(bytes); };
      return read_layout(with_.engine, composition, request_.type, write, with_.cancelled);
    });
    ReadBytes read = [&layout] { return layout.read(); };
    tell("sending tarball");
    const std::string tar = attribute(request_, "tar");
    if (tar == "false" || tar == "0") return store_layout(ClientStore(with_.session, "export"), read);
    return with_.session->send_file(request_.number, read);
  }

  Result<void> to_files() {
    std::vector<std::unique_ptr<Unpacked>> trees;
    std::vector<ArchivePart> parts;
    const std::string wanted = attribute(request_, "platform-split");
    const bool split = wanted.empty() ? product_.several : wanted == "true" || wanted == "1";
    if (!split && product_.images.size() > 1) {
      return Error(Kind::InvalidArgument,
                   "platform-split=false would write several platforms' files over each other: build for one "
                   "platform, or leave it out");
    }
    for (const PlatformImage& image : product_.images) {
      TRY(auto tree, Unpacked::create(with_.engine, image.id));
      const std::string path = "/containers/" + tree->id() + "/export";
      trees.push_back(std::move(tree));
      // Asked for when its turn comes: the answer of one that waits would be cut off.
      auto started = std::make_shared<std::unique_ptr<Download>>();
      auto read = [this, path, started] {
        if (!*started) *started = std::make_unique<Download>(with_.engine, path, with_.cancelled);
        return (*started)->read();
      };
      parts.push_back({split ? platform_directory(image.platform) : std::string(), std::move(read)});
    }
    if (!split) return send_files(parts.front().read);
    Produced merged([&parts](ByteQueue& queue) {
      struct Sink : storage::ByteSink {
        explicit Sink(ByteQueue& target) : queue(target) {}
        Result<void> write(std::string_view bytes) override { return queue.write(bytes); }
        ByteQueue& queue;
      } sink(queue);
      return merge_archives(parts, sink);
    });
    return send_files([&merged] { return merged.read(); });
  }

  Result<void> send_files(const ReadBytes& read) {
    if (request_.type == "tar") return with_.session->send_file(request_.number, read);
    sys::UniqueFd spool(::open("/var/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
    if (!spool) return Error::from_errno("open a temporary file in", "/var/tmp", errno);
    return send_tree(*with_.session, request_.number, read, spool.get(), with_.cancelled);
  }

  const Exporting& with_;
  const ExportRequest& request_;
  const Product& product_;
  Answer& answer_;
  std::string vertex_;
};

}  // namespace

Result<void> export_to(const Exporting& exporting, const ExportRequest& request, const Product& product,
                       std::map<std::string, std::string>& answer) {
  if (request.type == "cacheonly") return {};
  return Export(exporting, request, product, answer).run();
}

void remove_unnamed(const EngineClient& engine, const std::string& image) {
  auto answer = engine.send({.method = "GET", .path = "/images/" + image + "/json"});
  if (!answer) return;
  auto object = parse_json(answer->body);
  if (!object) return;
  auto tags = json_strings(*object, "RepoTags");
  if (tags && tags->empty()) {
    [[maybe_unused]] auto removed = engine.send({.method = "DELETE", .path = "/images/" + image});
  }
}

}  // namespace berth::buildkit
