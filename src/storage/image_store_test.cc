// Images: loading both archive formats, saving, names, removal rules, history, collection, and two loads at
// once.
#include "storage/image_store.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <thread>

#include "base/json.h"
#include "base/sha256.h"
#include "storage/compression.h"
#include "storage/testing.h"

namespace berth::storage {
namespace {

std::string gzip(std::string_view bytes, Compression compression = Compression::Gzip) {
  StringSink sink;
  auto packer = compress(sink, compression);
  EXPECT_TRUE((*packer)->write(bytes) && (*packer)->finish());
  return sink.text;
}

struct TestImage {
  std::vector<std::string> layers;  ///< plain tars
  std::string config;
  Digest id = sha256("");

  explicit TestImage(std::vector<std::string> tars, std::string label = "x") : layers(std::move(tars)) {
    spec::ImageConfig image;
    image.created = from_unix_nanoseconds(1'700'000'000'000'000'000);
    image.platform = spec::Platform::host();
    image.config.labels["label"] = std::move(label);
    image.history.push_back({.created_by = "bottom"});
    for (size_t i = 0; i < layers.size(); ++i) {
      image.diff_ids.push_back(sha256(layers[i]));
      if (i > 0) image.history.push_back({.created_by = "next"});
    }
    image.history.push_back({.created_by = "CMD", .empty_layer = true});
    config = spec::serialise(image);
    id = sha256(config);
  }

  std::string docker_archive(const std::vector<std::string>& tags, bool compressed) const {
    TarBytes tar;
    spec::ArchiveManifestEntry entry{.config = id.hex() + ".json", .repo_tags = tags};
    for (size_t i = 0; i < layers.size(); ++i) {
      std::string name = fmt::format("{}/layer.tar", i);
      tar.dir(fmt::format("{}/", i)).file(name, compressed ? gzip(layers[i]) : layers[i]);
      entry.layers.push_back(name);
    }
    tar.file(entry.config, config).file("manifest.json", spec::serialise(std::vector{entry}));
    return tar.finish();
  }

  std::string manifest(Compression compression) const {
    spec::Manifest manifest{.config = {.media_type = std::string(spec::media_type::oci_config),
                                       .digest = id,
                                       .size = static_cast<int64_t>(config.size())}};
    for (const std::string& layer : layers) {
      std::string bytes = gzip(layer, compression);
      manifest.layers.push_back(
          {.media_type = std::string(spec::media_type::oci_layer) + "+" + std::string(to_string(compression)),
           .digest = sha256(bytes),
           .size = static_cast<int64_t>(bytes.size())});
    }
    return spec::serialise(manifest);
  }

  std::string oci_archive(const std::string& name, Compression compression) const {
    TarBytes tar;
    auto blob = [&](const std::string& bytes) { tar.file("./blobs/sha256/" + sha256(bytes).hex(), bytes); };
    for (const std::string& layer : layers) blob(gzip(layer, compression));
    blob(config);
    std::string own = manifest(compression);
    blob(own);
    spec::Index inner;
    inner.manifests.push_back({.media_type = std::string(spec::media_type::oci_manifest),
                               .digest = sha256(own),
                               .size = static_cast<int64_t>(own.size()),
                               .platform = spec::Platform::host()});
    spec::Descriptor other = inner.manifests[0];
    other.digest = sha256("absent");
    other.platform = spec::Platform{.architecture = "s390x", .os = "linux"};
    inner.manifests.insert(inner.manifests.begin(), other);
    blob(spec::serialise(inner));
    spec::Index index;
    index.manifests.push_back({.media_type = std::string(spec::media_type::oci_index),
                               .digest = sha256(spec::serialise(inner)),
                               .size = static_cast<int64_t>(spec::serialise(inner).size()),
                               .annotations = {{"io.containerd.image.name", name}}});
    tar.file("./index.json", spec::serialise(index))
        .file("./oci-layout", R"({"imageLayoutVersion":"1.0.0"})");
    return tar.finish();
  }
};

class ImageStoreTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "layers hold devices, owners and trusted attributes: needs root";
    reopen();
  }
  void reopen() {
    images_.reset();
    snapshots_.reset();
    database_.reset();
    database_ = *Database::open(directory_.path() + "/state.db");
    content_ = *ContentStore::open(directory_.path() + "/content");
    snapshots_ = *Snapshotter::open(*database_, *content_, directory_.path());
    images_ = *ImageStore::open(*database_, *content_, *snapshots_);
  }
  Result<std::vector<LoadedImage>> load(const std::string& archive, ImageStore::LoadOptions options = {}) {
    StringSource source(archive);
    return images_->load(source, options);
  }
  void must_load(const std::string& archive) {
    auto loaded = load(archive);
    ASSERT_TRUE(loaded) << loaded.error().message();
  }
  std::string save(const std::vector<std::string>& references) {
    StringSink sink;
    auto saved = images_->save(references, sink, {});
    EXPECT_TRUE(saved) << saved.error().message();
    return sink.text;
  }
  std::string removed(std::string_view reference, RemoveOptions options = {}, InUse in_use = {}) {
    auto list = images_->remove(reference, options, in_use);
    if (!list) return list.error().message();
    std::string text;
    for (const RemovedName& name : *list) {
      text += name.kind == RemovedName::Kind::Deleted ? "Deleted " : "Untagged ";
      text += name.name + "\n";
    }
    return text;
  }
  size_t blobs() { return content_->list()->size(); }

  TempDir directory_;
  std::unique_ptr<Database> database_;
  std::optional<ContentStore> content_;
  std::unique_ptr<Snapshotter> snapshots_;
  std::unique_ptr<ImageStore> images_;
  TestImage one_{{TarBytes().dir("etc").file("etc/a", "base").finish()}};
  TestImage two_{{one_.layers[0], TarBytes().file("etc/b", std::string(100'000, 'b')).finish()}, "two"};
};

TEST_F(ImageStoreTest, LoadsDockerArchives) {
  for (bool compressed : {false, true}) {
    std::string archive = two_.docker_archive({"app:1", "quay.io/org/app:2"}, compressed);
    auto loaded = load(compressed ? gzip(archive, Compression::Zstd) : archive);
    ASSERT_TRUE(loaded) << loaded.error().message();
    ASSERT_EQ(loaded->size(), 1u);
    EXPECT_EQ((*loaded)[0].id, two_.id);
    EXPECT_EQ((*loaded)[0].names, (std::vector<std::string>{"app:1", "quay.io/org/app:2"}));
    auto image = images_->resolve("app:1");
    ASSERT_TRUE(image);
    EXPECT_EQ(image->size, 100'004u);
    EXPECT_EQ(image->repo_tags, (std::vector<std::string>{"app:1", "quay.io/org/app:2"}));
    EXPECT_EQ(*images_->config_bytes(image->id), two_.config);
    auto view = snapshots_->view_chain(*image->chain_id);
    ASSERT_TRUE(view);
    EXPECT_TRUE(view->exists("etc/a") && view->exists("etc/b"));
    EXPECT_EQ(blobs(), compressed ? 3u : 1u) << "plain layers are not kept twice";
    std::string out = removed(two_.id.str(), {.force = true});
    EXPECT_NE(out.find("Untagged app:1\n"), std::string::npos) << out;
    EXPECT_EQ(blobs(), 0u);
    EXPECT_TRUE(snapshots_->layers().empty());
  }
}

TEST_F(ImageStoreTest, LoadsOciLayoutsAndKeepsTheManifest) {
  for (Compression compression : {Compression::Gzip, Compression::Zstd}) {
    auto loaded = load(two_.oci_archive("docker.io/library/oci:v1", compression));
    ASSERT_TRUE(loaded) << loaded.error().message();
    EXPECT_EQ((*loaded)[0].names, std::vector<std::string>{"oci:v1"});
    EXPECT_EQ(images_->resolve("oci:v1")->manifest, sha256(two_.manifest(compression)));
    std::string saved = save({"oci:v1"});
    EXPECT_NE(saved.find(two_.manifest(compression)), std::string::npos) << "bit-identical manifest";
    removed("oci:v1");
    EXPECT_EQ(blobs(), 0u);
    auto again = load(saved);
    ASSERT_TRUE(again) << again.error().message();
    EXPECT_EQ(images_->resolve("oci:v1")->manifest, sha256(two_.manifest(compression)));
    removed("oci:v1");
  }
}

TEST_F(ImageStoreTest, SavesWhatItLoaded) {
  must_load(one_.docker_archive({"one:a", "one:b"}, false));
  must_load(two_.docker_archive({"two:latest"}, true));
  std::string saved = save({"one", "two", one_.id.hex().substr(0, 12)});
  EXPECT_EQ(saved, save({"one", "two"}));
  removed("one:a");
  removed("one:b");
  removed("two");
  EXPECT_TRUE(images_->list(true)->empty());
  EXPECT_TRUE(snapshots_->layers().empty());
  auto loaded = load(saved);
  ASSERT_TRUE(loaded) << loaded.error().message();
  ASSERT_EQ(loaded->size(), 2u);
  EXPECT_EQ((*loaded)[0].names, (std::vector<std::string>{"one:a", "one:b"}));
  EXPECT_EQ(images_->resolve("two")->id, two_.id);
  auto nameless = load(one_.docker_archive({}, false));
  ASSERT_TRUE(nameless);
  EXPECT_TRUE((*nameless)[0].names.empty());
  StringSink sink;
  std::vector<std::string> missing = {"none:1"};
  EXPECT_EQ(images_->save(missing, sink, {}).error().message(), "No such image: none:1");
}

TEST_F(ImageStoreTest, LegacyLinkedLayers) {
  spec::ArchiveManifestEntry entry{.config = "c.json", .repo_tags = {"legacy:1"}, .layers = {"x/layer.tar"}};
  TarBytes tar;
  tar.file("y/layer.tar", one_.layers[0])
      .symlink("x/layer.tar", "../y/layer.tar")
      .file("c.json", one_.config);
  must_load(tar.file("manifest.json", spec::serialise(std::vector{entry})).finish());
  EXPECT_TRUE(images_->resolve("legacy:1"));
}

TEST_F(ImageStoreTest, RefusesArchivesThatLie) {
  auto archive = [&](spec::ArchiveManifestEntry entry, std::string layer, std::string config) {
    return TarBytes()
        .file("l.tar", layer)
        .file("c.json", config)
        .symlink("out.tar", "../../../../etc/passwd")
        .file("manifest.json", spec::serialise(std::vector{entry}))
        .finish();
  };
  auto failure_of = [&](const std::string& bytes) {
    auto loaded = load(bytes);
    return loaded ? "loaded" : loaded.error().message();
  };
  EXPECT_NE(failure_of(archive({.config = "c.json", .layers = {"l.tar"}}, "xx", one_.config)), "loaded");
  EXPECT_NE(failure_of(archive({.config = "c.json", .layers = {"l.tar"}}, two_.layers[1], one_.config)),
            "loaded");
  EXPECT_NE(failure_of(TarBytes().symlink("out.tar", "../../../../etc/passwd").finish()), "loaded");
  auto plain = [&](std::vector<std::string> layers, std::string config = "c.json") {
    return TarBytes()
        .file("l.tar", one_.layers[0])
        .file("c.json", one_.config)
        .file("manifest.json",
              spec::serialise(std::vector{spec::ArchiveManifestEntry{.config = config, .layers = layers}}))
        .finish();
  };
  EXPECT_NE(failure_of(plain({"../../etc/shadow"})).find("no layer"), std::string::npos);
  EXPECT_NE(failure_of(plain({"/etc/passwd"})).find("no layer"), std::string::npos);
  EXPECT_NE(failure_of(plain({"l.tar", "l.tar"})).find("layers length mismatch: expected 1, got 2"),
            std::string::npos);
  EXPECT_NE(failure_of(plain({"l.tar"}, "/etc/passwd")).find("has no"), std::string::npos);
  EXPECT_NE(failure_of(plain({"l.tar"}, "../c")).find("has no"), std::string::npos);
  EXPECT_NE(failure_of(TarBytes().file("x", "y").finish()).find("does not contain a manifest.json"),
            std::string::npos);
  EXPECT_NE(failure_of("garbage"), "loaded");
  EXPECT_NE(failure_of(""), "loaded");
  std::string oci = one_.oci_archive("a:1", Compression::Gzip);
  size_t at = oci.find(one_.config);
  oci[at + 20] ^= 1;
  EXPECT_NE(failure_of(oci).find("does not match its descriptor"), std::string::npos);
  EXPECT_TRUE(images_->list(true)->empty());
  EXPECT_TRUE(images_->collect({}));
  EXPECT_EQ(blobs(), 0u);
}

TEST_F(ImageStoreTest, ResolvesNamesAndIds) {
  must_load(one_.docker_archive({"docker.io/library/one:latest"}, false));
  must_load(two_.docker_archive({"two:latest"}, false));
  for (const std::string& reference :
       {std::string("one"), std::string("one:latest"), std::string("library/one"),
        std::string("docker.io/one"), one_.id.str(), one_.id.hex(), one_.id.short_hex(),
        "sha256:" + one_.id.short_hex()}) {
    auto image = images_->resolve(reference);
    ASSERT_TRUE(image) << reference << ": " << image.error().message();
    EXPECT_EQ(image->id, one_.id) << reference;
  }
  EXPECT_EQ(images_->resolve("nope").error().message(), "No such image: nope:latest");
  EXPECT_EQ(images_->resolve("sha256:").error().kind(), Kind::NotFound);
  EXPECT_EQ(images_->resolve("").error().kind(), Kind::NotFound);
  EXPECT_EQ(images_->resolve("a b").error().message(), "No such image: a b");
  std::string config = one_.config;
  for (int i = 0; images_->list(true)->size() < 40; ++i) {
    must_load(TestImage({one_.layers[0]}, std::to_string(i)).docker_archive({}, false));
  }
  int ambiguous = 0;
  for (char c : std::string("0123456789abcdef")) {
    auto image = images_->resolve("sha256:" + std::string(1, c));
    if (!image && image.error().kind() == Kind::InvalidArgument) ++ambiguous;
  }
  EXPECT_GT(ambiguous, 0);
}

TEST_F(ImageStoreTest, NamesMove) {
  must_load(one_.docker_archive({"app:1"}, false));
  must_load(two_.docker_archive({"app:2"}, false));
  EXPECT_FALSE(*images_->tag(two_.id, *spec::Reference::parse("other")));
  EXPECT_EQ(*images_->tag(two_.id, *spec::Reference::parse("app:1")), one_.id)
      << "one_ has lost its last name";
  EXPECT_TRUE(images_->is_dangling(*images_->get(one_.id)));
  EXPECT_FALSE(images_->tag(two_.id, *spec::Reference::parse("a@" + one_.id.str())));
  EXPECT_EQ(images_->tag(sha256("none"), *spec::Reference::parse("a")).error().kind(), Kind::NotFound);
  std::string seen;
  auto loaded = load(one_.docker_archive({"app:1"}, false),
                     {.progress = [&](const Progress& progress) { seen += progress.status; }});
  ASSERT_TRUE(loaded);
  EXPECT_NE(seen.find("The image app:1 already exists, renaming the old one"), std::string::npos) << seen;
  reopen();
  EXPECT_EQ(images_->resolve("other")->repo_tags, (std::vector<std::string>{"app:2", "other:latest"}));
}

TEST_F(ImageStoreTest, RemovalFollowsDockersRules) {
  must_load(two_.docker_archive({"a:1", "b:1"}, false));
  EXPECT_EQ(removed("a:1"), "Untagged a:1\n");
  EXPECT_EQ(removed("none"), "No such image: none:latest");
  std::string c(64, 'c');
  InUse stopped{.images = {{.image = two_.id, .container_id = c}}};
  EXPECT_EQ(removed("b:1", {}, stopped),
            "conflict: unable to remove repository reference \"b:1\" (must force) - container cccccccccccc "
            "is using "
            "its referenced image " +
                two_.id.short_hex());
  EXPECT_EQ(removed(two_.id.short_hex(), {}, stopped),
            "conflict: unable to delete " + two_.id.short_hex() +
                " (must be forced) - image is being used by stopped container cccccccccccc");
  InUse running{.images = {{.image = two_.id, .container_id = c, .running = true}}};
  EXPECT_EQ(removed(two_.id.hex(), {.force = true}, running),
            "conflict: unable to delete " + two_.id.short_hex() +
                " (cannot be forced) - image is being used by running container cccccccccccc");
  ASSERT_FALSE(*images_->tag(two_.id, *spec::Reference::parse("c:1")));
  EXPECT_EQ(removed(two_.id.hex()), "conflict: unable to delete " + two_.id.short_hex() +
                                        " (must be forced) - image is referenced in multiple repositories");
  auto chains = spec::chain_ids({sha256(two_.layers[0]), sha256(two_.layers[1])});
  // A forced removal under a stopped container leaves it the layers it stands on.
  stopped.chains = {chains[1]};
  EXPECT_EQ(removed(two_.id.hex(), {.force = true}, stopped),
            "Untagged b:1\nUntagged c:1\nDeleted " + two_.id.str() + "\n");
  EXPECT_TRUE(snapshots_->has_layer(chains[1]));
  EXPECT_EQ(blobs(), 0u);
  must_load(one_.docker_archive({"one:1"}, false));
  EXPECT_EQ(removed("one:1", {.force = true}, {.images = {{one_.id, c, true}}}), "Untagged one:1\n")
      << "forced under a running container only the name goes";
  EXPECT_EQ(removed(one_.id.hex()), "Deleted " + one_.id.str() + "\n") << "its layer is also two_'s";
  ASSERT_TRUE(snapshots_->prepare("step", {}));
  Digest made = snapshots_->commit("step", {}, CommitMode::Copy)->chain_id;
  ASSERT_TRUE(images_->collect({}));
  EXPECT_FALSE(snapshots_->has_layer(chains[1])) << "its image and the container are gone";
  EXPECT_TRUE(snapshots_->has_layer(made)) << "made a moment ago, for an image to come: not collected";
}

TEST_F(ImageStoreTest, BuiltImagesHaveParentsAndHistory) {
  must_load(one_.docker_archive({"base:1"}, false));
  Image base = *images_->resolve("base:1");
  ASSERT_TRUE(snapshots_->prepare("step", base.chain_id));
  ASSERT_TRUE(sys::write_file_atomic(snapshots_->container_dir("step") + "/upper/new", "12345"));
  auto layer = snapshots_->commit("step", base.chain_id, CommitMode::Consume);
  ASSERT_TRUE(layer);
  spec::ImageConfig config = *base.config;
  config.created = from_unix_nanoseconds(1'800'000'000'000'000'000);
  config.diff_ids.push_back(layer->diff_id);
  config.history.push_back({.created_by = "RUN step"});
  EXPECT_FALSE(images_->create({.config = config, .chain_id = base.chain_id}));
  auto middle = images_->create({.config = config, .chain_id = layer->chain_id, .parent = base.id});
  ASSERT_TRUE(middle) << middle.error().message();
  config.history.push_back({.created_by = "CMD x", .empty_layer = true});
  auto child = images_->create({.config = config,
                                .chain_id = layer->chain_id,
                                .parent = *middle,
                                .tags = {*spec::Reference::parse("built")}});
  ASSERT_TRUE(child);
  EXPECT_EQ(*images_->children(base.id), std::vector<Digest>{*middle});
  EXPECT_EQ(images_->list(false)->size(), 2u);
  EXPECT_EQ(images_->list(true)->size(), 3u);
  EXPECT_EQ((*images_->list(false))[0].id, *child) << "newest first";
  auto history = images_->history(*child);
  ASSERT_TRUE(history);
  ASSERT_EQ(history->size(), 4u);
  EXPECT_EQ((*history)[0].id, child->str());
  EXPECT_EQ((*history)[0].tags, std::vector<std::string>{"built:latest"});
  EXPECT_EQ((*history)[1].id, middle->str());
  EXPECT_EQ((*history)[1].size, 5u);
  EXPECT_EQ((*history)[2].id, base.id.str());
  EXPECT_EQ((*history)[3].id, "<missing>");
  EXPECT_EQ((*history)[3].size, 4u);
  EXPECT_EQ(removed("base:1", {}, {}), "Untagged base:1\n") << "children keep it";
  auto usage = images_->usage();
  ASSERT_TRUE(usage);
  EXPECT_EQ(usage->layers_bytes, 9u);
  EXPECT_EQ(usage->shared_bytes[*child], 9u);
  EXPECT_GT(usage->disk_bytes, 0u);
  std::string out = removed("built");
  EXPECT_EQ(out.substr(0, 22), "Untagged built:latest\n");
  EXPECT_NE(out.find("Deleted " + middle->str()), std::string::npos) << "untagged parents go with it";
  EXPECT_NE(out.find("Deleted " + base.id.str()), std::string::npos);
  EXPECT_TRUE(snapshots_->layers().empty());
}

TEST_F(ImageStoreTest, ImportsAndPrunes) {
  std::string rootfs = TarBytes().file("bin/sh", "shell").file("bin/sh", "twice").finish();
  std::string compressed = gzip(rootfs);
  StringSource source(compressed);
  ImportOptions options{.reference = *spec::Reference::parse("imported"), .config = {.cmd = {"sh"}}};
  auto id = images_->import(source, options);
  ASSERT_TRUE(id) << id.error().message();
  Image image = *images_->resolve("imported");
  EXPECT_EQ(image.config->config.cmd, std::vector<std::string>{"sh"});
  EXPECT_EQ(image.config->platform, spec::Platform::host());
  EXPECT_EQ(image.config->history[0].comment, "Imported from -");
  must_load(save({"imported"}));
  must_load(one_.docker_archive({}, false));
  must_load(two_.docker_archive({}, false));
  auto report = images_->prune({}, {.images = {{two_.id, "c", false}}});
  ASSERT_TRUE(report);
  EXPECT_EQ(report->removed.size(), 1u) << "one_ goes, its layer is two_'s";
  report = images_->prune({.created_before = from_unix_nanoseconds(1)}, {});
  EXPECT_TRUE(report->removed.empty());
  report = images_->prune({.all = true, .filter = [&](const Image& i) { return i.id != *id; }}, {});
  EXPECT_EQ(report->removed.size(), 3u);
  EXPECT_GT(report->reclaimed_bytes, 100'000u);
  report = images_->prune({.all = true}, {});
  EXPECT_EQ(report->removed[0].name, "imported:latest");
  EXPECT_TRUE(images_->list(true)->empty());
  EXPECT_EQ(blobs(), 0u);
  std::string hostile = TarBytes().file("../x", "y").finish();
  StringSource bad(hostile);
  EXPECT_FALSE(images_->import(bad, {}));
  EXPECT_TRUE(snapshots_->layers().empty());
}

TEST_F(ImageStoreTest, TwoLoadsAtOnceShareTheirWork) {
  TestImage big({TarBytes().file("big", std::string(4'000'000, 'x')).finish(), one_.layers[0]});
  std::string archive = big.docker_archive({"big:1"}, true);
  std::vector<std::string> errors(6);
  {
    std::vector<std::jthread> threads;
    for (std::string& error : errors) {
      threads.emplace_back([&] {
        auto loaded = load(archive);
        if (!loaded) error = loaded.error().message();
      });
    }
    // Meanwhile somebody cleans up: nothing of a load under way may go.
    for (int i = 0; i < 20; ++i) ASSERT_TRUE(images_->collect({}));
  }
  for (const std::string& error : errors) EXPECT_EQ(error, "");
  EXPECT_EQ(snapshots_->layers().size(), 2u);
  EXPECT_EQ(blobs(), 3u);
  EXPECT_EQ(sys::list_dir(directory_.path() + "/content/ingest")->size(), 0u);
  StringSink sink;
  EXPECT_TRUE(snapshots_->write_layer_tar(*images_->resolve("big:1")->chain_id, sink));
}

TEST_F(ImageStoreTest, ForgetsImagesWhoseLayersAreLost) {
  must_load(two_.docker_archive({"two"}, false));
  must_load(TestImage({TarBytes().file("q", "q").finish()}).docker_archive({"kept"}, false));
  ASSERT_TRUE(sys::remove_tree(snapshots_->layer_dir(sha256(two_.layers[0]))));
  reopen();
  EXPECT_EQ(images_->list(true)->size(), 1u);
  EXPECT_TRUE(images_->resolve("kept"));
  EXPECT_EQ(images_->resolve("two").error().kind(), Kind::NotFound);
}

TEST_F(ImageStoreTest, CancelledLoadLeavesNothing) {
  std::stop_source stop;
  stop.request_stop();
  EXPECT_EQ(load(two_.docker_archive({"two"}, true), {.stop = stop.get_token()}).error().kind(),
            Kind::Cancelled);
  EXPECT_EQ(blobs(), 0u);
  EXPECT_TRUE(snapshots_->layers().empty());
}

}  // namespace
}  // namespace berth::storage
