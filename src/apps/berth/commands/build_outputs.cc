#include "apps/berth/commands/build_outputs.h"

#include <algorithm>
#include <filesystem>

#include "apps/berth/archive/file_text.h"
#include "apps/berth/commands/commands.h"
#include "apps/berth/commands/platform.h"
#include "apps/berth/commands/transfer.h"
#include "apps/berth/grammar/invocation.h"
#include "base/bytes.h"
#include "base/json.h"
#include "spec/image.h"
#include "spec/reference.h"

namespace berth::cli::commands {
namespace {

using grammar::Invocation;
using options::BuildAnnotation;
using options::BuildOutput;

Outcome<std::vector<std::string>> platforms_of(const Invocation& invocation) {
  std::vector<std::string> platforms;
  for (std::string& one : wanted_platforms(invocation)) {
    CHECK(check_platform(one));
    if (!one.empty() && std::find(platforms.begin(), platforms.end(), one) == platforms.end())
      platforms.push_back(std::move(one));
  }
  if (platforms.empty()) platforms.emplace_back();
  return platforms;
}

/// They are attestations of BuildKit's interface.
Outcome<void> refuse_attestations(const Invocation& invocation) {
  for (const char* flag : {"provenance", "sbom"}) {
    const std::string value = invocation.text(flag);
    if (value.empty() || value == "false" || value == "disabled=true") continue;
    if (std::string_view(flag) == "sbom")
      return refuse(
          "--sbom is not supported: it needs a scanner's image; scan an archive (--output type=oci)");
    return refuse(
        "--provenance is made for docker's buildx alone: \"docker buildx build --provenance={}\" with this "
        "engine, or leave it out",
        value);
  }
  return {};
}

Outcome<void> perform(Context& context, const grammar::Command& command, std::string_view name,
                      const std::vector<std::string>& words) {
  Invocation invocation(command, std::string(name));
  std::vector<const char*> pointers;
  for (const std::string& word : words) pointers.push_back(word.c_str());
  grammar::Parser parser(invocation);
  if (auto verdict = parser.parse(pointers); !verdict) return verdict.error();
  TRY(const int code, command.action(context, invocation));
  return code == 0 ? Outcome<void>() : Outcome<void>(Failure::exit(code));
}

/// Engines of others do not know the route.
Failure explain(Failure failure, const char* what) {
  if (!failure.not_found() || failure.message.find("page not found") == std::string::npos) return failure;
  return refuse(
      "{} needs berth's own engine, and the one that answers has no /berth/images: use docker buildx", what);
}

std::string platform_directory(std::string platform) {
  std::replace(platform.begin(), platform.end(), '/', '_');
  return platform;
}

}  // namespace

Outcome<BuildOutputs> BuildOutputs::create(Context& context, const Invocation& invocation) {
  CHECK(refuse_attestations(invocation));
  BuildOutputs outputs(context);
  TRY(outputs.platforms_, platforms_of(invocation));
  outputs.tags_ = invocation.list("tag");
  outputs.metadata_file_ = invocation.text("metadata-file");
  for (const std::string& text : invocation.list("annotation")) {
    TRY(auto annotations, options::parse_annotation(text));
    for (auto& annotation : annotations) outputs.annotations_.push_back(std::move(annotation));
  }
  for (const std::string& text : invocation.list("output")) {
    TRY(auto output, options::parse_build_output(text));
    outputs.outputs_.push_back(std::move(output));
  }
  outputs.has_output_ = !outputs.outputs_.empty();
  if (invocation.on("push")) outputs.outputs_.push_back({.push = true});
  if (invocation.on("load") && !invocation.on("push") && outputs.has_output_) outputs.outputs_.push_back({});
  const bool nameless_push =
      outputs.tags_.empty() &&
      std::any_of(outputs.outputs_.begin(), outputs.outputs_.end(),
                  [](const BuildOutput& output) { return output.push && output.names.empty(); });
  if (nameless_push) return refuse("a push needs a name: add --tag REGISTRY/NAME");
  if (outputs.outputs_.empty()) outputs.outputs_.emplace_back();
  if (outputs.platforms_.size() > 1 && invocation.argument(0) == "-") {
    return refuse(
        "a context from standard input can be read once: build for several platforms from a directory, or "
        "for "
        "one platform at a time");
  }
  return outputs;
}

bool BuildOutputs::is_plain() const {
  return platforms_.size() == 1 && annotations_.empty() && !has_output_ && !outputs_.front().push;
}

Json BuildOutputs::composition(const std::vector<Built>& images,
                               const std::vector<std::string>& names) const {
  using Place = BuildAnnotation::Place;
  Json body = {{"Images", Json::array()}, {"Names", names}, {"Index", images.size() > 1}};
  for (const Built& built : images) {
    Json image = {{"Id", built.id}};
    for (const BuildAnnotation& annotation : annotations_) {
      if (!annotation.platform.empty() && annotation.platform != built.platform) continue;
      if (annotation.place == Place::Manifest) image["Annotations"][annotation.key] = annotation.value;
      if (annotation.place == Place::ManifestDescriptor)
        image["DescriptorAnnotations"][annotation.key] = annotation.value;
    }
    body["Images"].push_back(std::move(image));
  }
  for (const BuildAnnotation& annotation : annotations_) {
    if (annotation.place == Place::Index) body["Annotations"][annotation.key] = annotation.value;
    if (annotation.place == Place::IndexDescriptor)
      body["DescriptorAnnotations"][annotation.key] = annotation.value;
    if (annotation.place == Place::Index || annotation.place == Place::IndexDescriptor) body["Index"] = true;
  }
  return body;
}

Outcome<std::string> BuildOutputs::deliver(const std::vector<Built>& images) {
  image_ = images.front().id;
  bool stored = false;
  Outcome<void> done;
  for (const BuildOutput& output : outputs_) {
    using Type = BuildOutput::Type;
    const bool to_store = output.type == Type::Image || (output.type == Type::Docker && output.dest.empty());
    stored |= to_store;
    if (output.type == Type::CacheOnly) continue;
    if (to_store) {
      done = this->to_store(images, output);
    } else if (output.type == Type::Oci || output.type == Type::Docker) {
      done = to_archive(images, output);
    } else {
      done = to_files(images, output);
    }
    if (!done) break;
  }
  if (!stored) {
    for (const Built& image : images) remove_unnamed(image.id);
  }
  CHECK(std::move(done));
  CHECK(tell(image_));
  return image_;
}

Outcome<void> BuildOutputs::tell(const std::string& image) {
  if (metadata_file_.empty()) return {};
  if (!metadata_.contains("containerimage.config.digest")) {
    metadata_["containerimage.config.digest"] = image;
    metadata_["containerimage.digest"] = image;
    std::string names;
    for (const std::string& tag : tags_) {
      TRY(const auto reference, spec::Reference::parse(tag));
      names += (names.empty() ? "" : ",") + reference.with_default_tag().str();
    }
    if (!names.empty()) metadata_["image.name"] = names;
  }
  Json document = metadata_;
  if (!descriptor_.empty()) {
    TRY(document["containerimage.descriptor"], parse_json(descriptor_));
  }
  CHECK(archive::write_text(metadata_file_, document.dump(2) + "\n"));
  return {};
}

/// One image as every build leaves it, which any engine can do.
Outcome<void> BuildOutputs::name(const std::string& image, const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    TRY(const auto given, spec::Reference::parse(name));
    const spec::Reference reference = given.with_default_tag();
    client::Request request{.method = "POST", .path = "/images/" + image + "/tag"};
    request.query.add("repo", reference.name()).add("tag", reference.tag());
    CHECK(context_.engine().call(request));
    context_.out.line("Successfully tagged " + reference.familiar_string());
  }
  return {};
}

Outcome<void> BuildOutputs::to_store(const std::vector<Built>& images, const BuildOutput& output) {
  std::vector<std::string> names = tags_;
  names.insert(names.end(), output.names.begin(), output.names.end());
  if (images.size() == 1 && annotations_.empty()) {
    CHECK(name(images.front().id, names));
    return output.push ? push(names) : Outcome<void>();
  }
  const client::Request request{
      .method = "POST", .path = "/berth/images/compose?keep=1", .body = to_json(composition(images, names))};
  auto reply = context_.engine().call(request);
  if (!reply) return explain(reply.error(), "a build for several platforms");
  TRY(const Json answer, parse_json(reply->body));
  TRY(image_, json_string(answer, "Image"));
  const Json* descriptor = json_member(answer, "Descriptor");
  if (descriptor == nullptr) return refuse("the engine answered without a descriptor");
  metadata_["containerimage.config.digest"] = image_;
  TRY(metadata_["containerimage.digest"], json_string(*descriptor, "digest"));
  descriptor_ = to_json(*descriptor);
  std::string all;
  for (const std::string& name : names) {
    TRY(const auto reference, spec::Reference::parse(name));
    all += (all.empty() ? "" : ",") + reference.with_default_tag().str();
    context_.out.line("Successfully tagged " + reference.with_default_tag().familiar_string());
  }
  if (!all.empty()) metadata_["image.name"] = all;
  // The index holds what it needs of other platforms' images.
  for (const Built& image : images)
    if (image.id != image_ && !names.empty()) remove_unnamed(image.id);
  return output.push ? push(names) : Outcome<void>();
}

Outcome<void> BuildOutputs::push(const std::vector<std::string>& names) {
  for (const std::string& name : names) CHECK(perform(context_, push_command, "push", {name}));
  return {};
}

Outcome<void> BuildOutputs::to_archive(const std::vector<Built>& images, const BuildOutput& output) {
  std::vector<std::string> names = tags_;
  names.insert(names.end(), output.names.begin(), output.names.end());
  const bool oci = output.type == BuildOutput::Type::Oci;
  TRY(OutputFile file, OutputFile::open(context_, output.dest == "-" ? "" : output.dest, "write"));
  const client::Request request{
      .method = "POST",
      .path = oci ? "/berth/images/layout?format=oci" : "/berth/images/layout?format=docker",
      .body = to_json(composition(images, names))};
  auto streamed =
      context_.engine().stream(request, [&](std::string_view bytes) { return file.write(bytes); });
  if (!streamed) return explain(streamed.error(), "--output type=oci");
  return file.commit();
}

Outcome<void> BuildOutputs::to_files(const std::vector<Built>& images, const BuildOutput& output) {
  const bool split = platforms_.size() > 1;
  if (split && output.type == BuildOutput::Type::Tar)
    return refuse("--output type=tar holds one platform's files: use type=local, or build for one platform");
  for (const Built& image : images) {
    const std::string directory =
        split ? output.dest + "/" + platform_directory(image.platform) : output.dest;
    CHECK(copy_files(image.id, output, directory));
  }
  return {};
}

/// By way of a container that is never started: its files are the image's.
Outcome<void> BuildOutputs::copy_files(const std::string& image, const BuildOutput& output,
                                       const std::string& directory) {
  const Json body = {{"Image", image}, {"Cmd", Json::array({"/"})}};
  TRY(const auto reply,
      context_.engine().call({.method = "POST", .path = "/containers/create", .body = to_json(body)}));
  TRY(const Json created, parse_json(reply.body));
  TRY(const std::string id, json_string(created, "Id"));
  Outcome<void> done;
  if (output.type == BuildOutput::Type::Tar) {
    auto file = OutputFile::open(context_, output.dest == "-" ? "" : output.dest, "write");
    if (file) {
      auto streamed = context_.engine().stream({.path = "/containers/" + id + "/export"},
                                               [&](std::string_view bytes) { return file->write(bytes); });
      done = streamed ? file->commit() : Outcome<void>(streamed.error());
    } else {
      done = file.error();
    }
  } else {
    std::error_code error;
    std::filesystem::create_directories(directory, error);
    done = error ? Outcome<void>(refuse("mkdir {}: {}", directory, error.message()))
                 : perform(context_, copy_command, "cp", {"--quiet", id + ":/.", directory});
  }
  [[maybe_unused]] auto removed =
      context_.engine().call({.method = "DELETE", .path = "/containers/" + id + "?force=1&v=1"});
  return done;
}

void BuildOutputs::remove_unnamed(const std::string& image) {
  auto reply = context_.engine().call({.path = "/images/" + image + "/json"});
  if (!reply) return;
  auto object = parse_json(reply->body);
  auto tags = object ? json_strings(*object, "RepoTags") : Result<std::vector<std::string>>(object.error());
  if (tags && tags->empty()) (void)context_.engine().call({.method = "DELETE", .path = "/images/" + image});
}

}  // namespace berth::cli::commands
