#include "apps/buildkit/exporters.h"

#include <fcntl.h>
#include <unistd.h>

#include <memory>

#include "apps/buildkit/download.h"
#include "apps/buildkit/file_sync.h"
#include "apps/buildkit/image_push.h"
#include "base/format.h"
#include "base/json.h"
#include "spec/reference.h"
#include "sys/fd.h"

namespace berth::buildkit {
namespace {

std::vector<std::string> names_of(const ExportRequest& request) {
  std::vector<std::string> names;
  auto found = request.attributes.find("name");
  std::string_view text = found == request.attributes.end() ? std::string_view() : found->second;
  while (!text.empty()) {
    size_t end = text.find(',');
    if (end != 0) names.emplace_back(text.substr(0, end));
    text.remove_prefix(end == text.npos ? text.size() : end + 1);
  }
  return names;
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

Result<void> to_store(const EngineClient& engine, const ExportRequest& request, const std::string& image,
                      Progress& progress, const std::string& vertex,
                      std::map<std::string, std::string>& answer) {
  progress.status(vertex, "exporting layers", 0, 0, true);
  progress.status(vertex, "writing image " + image, 0, 0, true);
  std::string all;
  for (const std::string& name : names_of(request)) {
    TRY(auto reference, spec::Reference::parse(name));
    std::string tag = reference.tag().empty() ? "latest" : reference.tag();
    CHECK(engine.send({.method = "POST",
                       .path = "/images/" + image + "/tag",
                       .query = {{"repo", reference.name()}, {"tag", tag}}}));
    std::string whole = reference.name() + ":" + tag;
    progress.status(vertex, "naming to " + whole, 0, 0, true);
    all += (all.empty() ? "" : ",") + whole;
  }
  if (!all.empty()) answer["image.name"] = all;
  return {};
}

/// With "moby" the client pushes by itself when the build is done, as docker's exporter of that name has it;
/// "image" leaves it to the engine.
bool wants_push(const ExportRequest& request) {
  if (request.type != "image") return false;
  auto found = request.attributes.find("push");
  return found != request.attributes.end() && (found->second == "true" || found->second == "1");
}

Result<void> push_all(const EngineClient& engine, const Session* session, const ExportRequest& request,
                      Progress& progress, const Cancelled& cancelled) {
  for (const std::string& name : names_of(request)) {
    TRY(auto reference, spec::Reference::parse(name));
    CHECK(push_image(engine, session, reference.with_default_tag(), progress, cancelled));
  }
  return {};
}

Result<void> to_file(const EngineClient& engine, const Session& session, const ExportRequest& request,
                     const std::string& path, const Cancelled& cancelled) {
  Download download(engine, path, cancelled);
  return session.send_file(request.number, [&download] { return download.read(); });
}

Result<void> to_directory(const EngineClient& engine, const Session& session, const ExportRequest& request,
                          const std::string& path, const Cancelled& cancelled) {
  sys::UniqueFd spool(::open("/var/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (!spool) return Error::from_errno("open a temporary file in", "/var/tmp", errno);
  Download download(engine, path, cancelled);
  return send_tree(
      session, request.number, [&download] { return download.read(); }, spool.get(), cancelled);
}

}  // namespace

Result<void> export_to(const EngineClient& engine, const Session* session, const ExportRequest& request,
                       const std::string& image, Progress& progress, const Cancelled& cancelled,
                       std::map<std::string, std::string>& answer) {
  if (request.type == "cacheonly") return {};
  bool store = request.type == "moby" || request.type == "image";
  bool archive = request.type == "docker";
  bool files = request.type == "tar" || request.type == "local";
  if (!store && !archive && !files)
    return failure(Kind::Unsupported,
                   "exporter \"{}\" is not supported: it is one of docker, image, local, tar",
                   request.type.substr(0, 64));
  if (!store && session == nullptr)
    return Error(Kind::InvalidArgument, "the client's session is not connected");
  std::string vertex =
      progress.begin(store || archive ? "exporting to image" : "exporting to client directory");
  Result<void> done;
  if (store) {
    done = to_store(engine, request, image, progress, vertex, answer);
  } else if (archive) {
    std::string path = "/images/get?names=" + image;
    for (const std::string& name : names_of(request)) path += "&names=" + name;
    if (!names_of(request).empty()) done = to_store(engine, request, image, progress, vertex, answer);
    if (done) done = to_file(engine, *session, request, path, cancelled);
  } else {
    auto unpacked = Unpacked::create(engine, image);
    if (unpacked) {
      std::string path = "/containers/" + (*unpacked)->id() + "/export";
      done = request.type == "tar" ? to_file(engine, *session, request, path, cancelled)
                                   : to_directory(engine, *session, request, path, cancelled);
    } else {
      done = std::move(unpacked).error();
    }
  }
  progress.complete(vertex, done ? std::string() : done.error().message());
  if (!done) return done;
  if (wants_push(request)) CHECK(push_all(engine, session, request, progress, cancelled));
  answer["containerimage.config.digest"] = image;
  answer["containerimage.digest"] = image;
  return {};
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
