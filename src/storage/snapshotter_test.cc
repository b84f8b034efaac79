// Layers and containers' directories: unpacking once, committing, re-creating tars, views, start-up repairs.
#include "storage/snapshotter.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <thread>

#include "base/sha256.h"
#include "spec/image.h"
#include "storage/compression.h"
#include "storage/gc_plan.h"
#include "storage/testing.h"

namespace berth::storage {
namespace {

class SnapshotterTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "layers hold devices, owners and trusted attributes: needs root";
    reopen();
  }
  void reopen() {
    snapshots_.reset();
    database_.reset();
    database_ = *Database::open(root() + "/state.db");
    content_ = *ContentStore::open(root() + "/content");
    auto opened = Snapshotter::open(*database_, *content_, root());
    ASSERT_TRUE(opened) << opened.error().message();
    snapshots_ = std::move(*opened);
  }
  const std::string& root() const { return directory_.path(); }

  Layer add(const std::string& tar, std::optional<Digest> parent = {}) {
    StringSource source(tar);
    auto layer = snapshots_->unpack(source, {.parent = parent, .diff_id = sha256(tar)});
    EXPECT_TRUE(layer) << layer.error().message();
    return *layer;
  }
  std::string tar_of(const Digest& chain) {
    StringSink sink;
    auto written = snapshots_->write_layer_tar(chain, sink);
    EXPECT_TRUE(written) << written.error().message();
    return sink.text;
  }
  std::string read(const sys::RootDir& view, std::string_view path) {
    auto fd = view.open(path, O_RDONLY);
    return fd ? *sys::read_fd(fd->get(), 1000) : "<" + fd.error().message() + ">";
  }
  int64_t unsynced_rows() {
    auto count = database_->prepare("SELECT count(*) FROM layers WHERE boot_id IS NOT NULL");
    EXPECT_TRUE(*count->step());
    return count->integer(0);
  }
  /// As a layer's root looks after `RUN chmod 0711 /`.
  void narrow_root(const Layer& layer) {
    ASSERT_EQ(::chmod((root() + "/layers/" + layer.chain_id.hex() + "/fs").c_str(), 0711), 0);
  }
  size_t entries(const std::string& name) { return sys::list_dir(root() + name)->size(); }

  TempDir directory_;
  std::unique_ptr<Database> database_;
  std::optional<ContentStore> content_;
  std::unique_ptr<Snapshotter> snapshots_;
};

const std::string base_tar =
    TarBytes().dir("./", 0711).dir("etc").file("etc/a", "base").file("etc/b", "base").finish();
const std::string top_tar = TarBytes().file("etc/a", "top").file("etc/.wh.b", "").finish();

TEST_F(SnapshotterTest, LayersStackAndReadBack) {
  Layer base = add(base_tar);
  Layer top = add(top_tar, base.chain_id);
  EXPECT_EQ(top.chain_id, spec::chain_id(base.chain_id, sha256(top_tar)));
  EXPECT_EQ(base.size, 8u);
  auto view = snapshots_->view_chain(top.chain_id);
  ASSERT_TRUE(view) << view.error().message();
  EXPECT_EQ(read(*view, "/etc/a"), "top");
  EXPECT_FALSE(view->exists("/etc/b"));
  EXPECT_EQ(view->stat("/")->st_mode & 07777, 0755u) << "no layer's archive says what the root looks like";
  EXPECT_EQ(tar_of(base.chain_id), base_tar);
  EXPECT_EQ(tar_of(top.chain_id), top_tar);
  EXPECT_EQ(snapshots_->chain(top.chain_id)->size(), 2u);
  EXPECT_EQ(snapshots_->remove_layer(base.chain_id).error().kind(), Kind::WrongState);
  reopen();
  EXPECT_EQ(tar_of(top.chain_id), top_tar);
  ASSERT_TRUE(snapshots_->remove_layer(top.chain_id));
  ASSERT_TRUE(snapshots_->remove_layer(base.chain_id));
  ASSERT_TRUE(snapshots_->empty_trash());
  EXPECT_EQ(entries("/trash"), 0u);
  EXPECT_EQ(entries("/layers"), 2u) << "empty and l";
}

TEST_F(SnapshotterTest, FailureLeavesNothing) {
  StringSource source(base_tar);
  EXPECT_EQ(snapshots_->unpack(source, {.diff_id = sha256("other")}).error().kind(), Kind::Corrupt);
  std::string hostile = TarBytes().file("../x", "y").finish();
  StringSource bad(hostile);
  EXPECT_FALSE(snapshots_->unpack(bad, {}));
  StringSource orphan(base_tar);
  EXPECT_FALSE(snapshots_->unpack(orphan, {.parent = sha256("nobody")}));
  EXPECT_EQ(entries("/layers"), 2u);
  EXPECT_TRUE(snapshots_->layers().empty());
}

TEST_F(SnapshotterTest, ArchivesThatCannotBeRecreated) {
  std::string twice = TarBytes().file("a", "1").file("a", "2").finish();
  StringSource first(twice);
  auto packed_anew = snapshots_->unpack(first, {});
  ASSERT_TRUE(packed_anew) << packed_anew.error().message();
  EXPECT_NE(packed_anew->diff_id, sha256(twice));
  EXPECT_EQ(sha256(tar_of(packed_anew->chain_id)), packed_anew->diff_id);

  StringSource second(twice);
  bool kept = false;
  auto with_blob =
      snapshots_->unpack(second, {.diff_id = sha256(twice), .keep_archive = [&]() -> Result<LayerBlob> {
                                    kept = true;
                                    TRY(BlobInfo info, content_->put(twice));
                                    return LayerBlob{info.digest, "x", info.size};
                                  }});
  ASSERT_TRUE(with_blob);
  EXPECT_TRUE(kept);
  EXPECT_EQ(tar_of(with_blob->chain_id), twice);
}

TEST_F(SnapshotterTest, TheLayerBeneathMayComeMeanwhile) {
  Digest beneath = spec::chain_id({}, sha256(base_tar));
  StringSource source(top_tar);
  auto top = snapshots_->unpack(source, {.parent = beneath,
                                         .diff_id = sha256(top_tar),
                                         .keep_archive = [&]() -> Result<LayerBlob> {
                                           add(base_tar);
                                           TRY(BlobInfo info, content_->put(top_tar));
                                           return LayerBlob{info.digest, "x", info.size};
                                         },
                                         .keep = Snapshotter::UnpackRequest::Keep::Always});
  // etc is the layer's beneath: what it looks like is not known yet.
  ASSERT_FALSE(top);
  EXPECT_EQ(top.error().kind(), Kind::WrongState) << top.error().message();
  EXPECT_EQ(entries("/layers"), 2u);

  std::string alone = TarBytes().dir("own").file("own/a", "alone").finish();
  StringSource other(alone);
  auto layer = snapshots_->unpack(other, {.parent = beneath,
                                          .diff_id = sha256(alone),
                                          .keep_archive = [&]() -> Result<LayerBlob> {
                                            narrow_root(add(base_tar));
                                            TRY(BlobInfo info, content_->put(alone));
                                            return LayerBlob{info.digest, "x", info.size};
                                          },
                                          .keep = Snapshotter::UnpackRequest::Keep::Always});
  ASSERT_TRUE(layer) << layer.error().message();
  auto view = snapshots_->view_chain(layer->chain_id);
  ASSERT_TRUE(view) << view.error().message();
  EXPECT_EQ(read(*view, "/own/a"), "alone");
  EXPECT_EQ(read(*view, "/etc/a"), "base");
  EXPECT_EQ(view->stat("/")->st_mode & 07777, 0711u) << "the root looks like the one beneath";
}

TEST_F(SnapshotterTest, ConcurrentUnpacksHappenOnce) {
  std::string tar = TarBytes().file("big", std::string(3'000'000, 'x')).finish();
  std::vector<std::jthread> threads;
  std::atomic<int> good = 0;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      StringSource source(tar);
      if (snapshots_->unpack(source, {.diff_id = sha256(tar)})) ++good;
    });
  }
  threads.clear();
  EXPECT_EQ(good, 4);
  EXPECT_EQ(entries("/layers"), 3u);
  EXPECT_EQ(snapshots_->layers().size(), 1u);
}

TEST_F(SnapshotterTest, ContainersPrepareChangeAndCommit) {
  Layer base = add(base_tar);
  narrow_root(base);
  auto spec = snapshots_->prepare("c1", base.chain_id);
  ASSERT_TRUE(spec) << spec.error().message();
  EXPECT_EQ(snapshots_->prepare("c1", base.chain_id).error().kind(), Kind::AlreadyExists);
  EXPECT_FALSE(snapshots_->prepare("../x", base.chain_id));
  EXPECT_TRUE(*snapshots_->is_unchanged("c1"));
  {
    auto view = snapshots_->view("c1", base.chain_id, ViewAccess::ReadWrite);
    ASSERT_TRUE(view) << view.error().message();
    EXPECT_EQ(view->stat("/")->st_mode & 07777, 0711u);
    ASSERT_TRUE(view->unlink("/etc/a"));
    ASSERT_TRUE(view->make_dirs("/new/dir", 0755));
    auto file = view->open("/etc/b", O_WRONLY | O_TRUNC);
    ASSERT_TRUE(sys::write_all(file->get(), "changed"));
    ASSERT_TRUE(view->remove_all("/new"));
    ASSERT_TRUE(view->make_dirs("/new", 0755));
  }
  auto changes = snapshots_->changes("c1", base.chain_id);
  ASSERT_TRUE(changes);
  EXPECT_EQ(*changes, (std::vector<Change>{{"/etc", ChangeKind::Modified},
                                           {"/etc/a", ChangeKind::Deleted},
                                           {"/etc/b", ChangeKind::Modified},
                                           {"/new", ChangeKind::Added}}));
  EXPECT_EQ(*snapshots_->usage("c1"), 7u);
  auto read_only = snapshots_->view("c1", base.chain_id, ViewAccess::ReadOnly);
  ASSERT_TRUE(read_only) << read_only.error().message();
  EXPECT_EQ(read(*read_only, "/etc/b"), "changed");
  EXPECT_FALSE(read_only->exists("/etc/a"));
  EXPECT_FALSE(read_only->mkdir("/x", 0755));

  auto copied = snapshots_->commit("c1", base.chain_id, CommitMode::Copy);
  ASSERT_TRUE(copied) << copied.error().message();
  auto consumed = snapshots_->commit("c1", base.chain_id, CommitMode::Consume);
  ASSERT_TRUE(consumed) << consumed.error().message();
  EXPECT_EQ(copied->chain_id, consumed->chain_id) << "the same content gives the same layer";
  EXPECT_EQ(sha256(tar_of(copied->chain_id)), copied->diff_id);
  auto view = snapshots_->view_chain(copied->chain_id);
  EXPECT_EQ(read(*view, "/etc/b"), "changed");
  EXPECT_FALSE(view->exists("/etc/a"));
  ASSERT_TRUE(snapshots_->remove("c1"));
  EXPECT_EQ(entries("/containers"), 0u);
  EXPECT_EQ(entries("/trash"), 0u);
}

TEST_F(SnapshotterTest, ContainersWithoutImage) {
  auto spec = snapshots_->prepare("empty", {}, UpperDurability::Disposable);
  ASSERT_TRUE(spec);
  EXPECT_EQ(spec->options.back(), "volatile");
  {
    auto overlay = sys::open_detached_overlay(
        {.lower = spec->lower, .upper = spec->upper, .work = spec->work, .options = spec->options});
    ASSERT_TRUE(overlay) << overlay.error().message();
    ASSERT_TRUE(overlay->mkdir("d", 0755));
  }
  auto again = snapshots_->mount_spec("empty", {}, UpperDurability::Disposable);
  ASSERT_TRUE(again);
  EXPECT_TRUE(sys::open_detached_overlay(
      {.lower = again->lower, .upper = again->upper, .work = again->work, .options = again->options}));
  EXPECT_TRUE(sys::make_dirs(again->short_root + "/" + again->short_lower[0]));
}

TEST_F(SnapshotterTest, DeepChainsMount) {
  Layer layer = add(TarBytes().file("f0", "0").finish());
  for (int i = 1; i < 130; ++i) {
    layer = add(TarBytes().file(fmt::format("f{}", i), "x").finish(), layer.chain_id);
  }
  auto spec = snapshots_->prepare("deep", layer.chain_id);
  ASSERT_TRUE(spec);
  EXPECT_EQ(spec->lower.size(), 130u);
  auto view = snapshots_->view("deep", layer.chain_id, ViewAccess::ReadWrite);
  ASSERT_TRUE(view) << view.error().message();
  EXPECT_EQ(read(*view, "f0"), "0");
  std::string joined;
  for (const std::string& name : spec->short_lower) joined += name + ":";
  EXPECT_LT(joined.size(), 4000u);
  EXPECT_EQ(*sys::read_file(spec->short_root + "/" + spec->short_lower.back() + "/f0", 10), "0");
}

TEST_F(SnapshotterTest, StartUpDropsStraysAndRepairsUnsyncedLayers) {
  Layer kept = add(base_tar);
  Layer lost = add(top_tar, kept.chain_id);
  Layer orphan = add(TarBytes().file("z", "z").finish(), lost.chain_id);
  StringSink packed;
  auto sink = compress(packed, Compression::Gzip);
  std::string blob_tar = TarBytes().file("from-blob", "whole").finish();
  ASSERT_TRUE((*sink)->write(blob_tar) && (*sink)->finish());
  auto info = content_->put(packed.text);
  StringSource source(packed.text);
  auto blob_layer = snapshots_->unpack(
      source, {.diff_id = sha256(blob_tar), .blob = LayerBlob{info->digest, "application/x", info->size}});
  ASSERT_TRUE(blob_layer);
  EXPECT_EQ(tar_of(blob_layer->chain_id), blob_tar);

  // As if the machine had crashed before the files reached the disk.
  ASSERT_TRUE(database_->execute("UPDATE layers SET boot_id = 'another boot'"));
  ASSERT_EQ(::truncate((root() + "/layers/" + lost.chain_id.hex() + "/fs/etc/a").c_str(), 0), 0);
  ASSERT_EQ(::truncate((root() + "/layers/" + blob_layer->chain_id.hex() + "/fs/from-blob").c_str(), 0), 0);
  ASSERT_TRUE(sys::make_dirs(root() + "/layers/.staging-left/fs"));
  ASSERT_TRUE(sys::make_dirs(root() + "/layers/" + sha256("stray").hex() + "/fs"));
  reopen();
  EXPECT_TRUE(snapshots_->has_layer(kept.chain_id));
  EXPECT_FALSE(snapshots_->has_layer(lost.chain_id));
  EXPECT_FALSE(snapshots_->has_layer(orphan.chain_id));
  ASSERT_TRUE(snapshots_->has_layer(blob_layer->chain_id));
  EXPECT_EQ(*sys::read_file(root() + "/layers/" + blob_layer->chain_id.hex() + "/fs/from-blob", 10), "whole");
  EXPECT_EQ(entries("/layers"), 4u);
  ASSERT_TRUE(snapshots_->sync());
  EXPECT_EQ(unsynced_rows(), 0);
}

TEST_F(SnapshotterTest, ABlobOfAPushThatACrashTookCostsTheBlobAlone) {
  std::string tar = TarBytes().file("made-here", "whole").finish();
  Layer layer = add(tar);
  ASSERT_FALSE(layer.blob);
  auto info = content_->put("what gzip has made of it");
  ASSERT_TRUE(info);
  ASSERT_TRUE(snapshots_->sync());
  ASSERT_TRUE(snapshots_->set_blob(layer.chain_id, {info->digest, "application/x", info->size},
                                   sys::Durability::None));
  EXPECT_EQ(unsynced_rows(), 1);
  ASSERT_TRUE(database_->execute("UPDATE layers SET boot_id = 'another boot'"));
  ASSERT_EQ(::truncate(content_->blob_path(info->digest).c_str(), 0), 0);
  reopen();
  ASSERT_TRUE(snapshots_->has_layer(layer.chain_id));
  EXPECT_FALSE(snapshots_->layer(layer.chain_id)->blob);
  EXPECT_FALSE(content_->contains(info->digest));
  EXPECT_EQ(tar_of(layer.chain_id), tar);
  reopen();
  EXPECT_FALSE(snapshots_->layer(layer.chain_id)->blob);
  ASSERT_TRUE(snapshots_->sync());
  EXPECT_EQ(unsynced_rows(), 0);
}

TEST(GcPlan, KeepsWhatRootsReach) {
  Digest a = sha256("a");
  Digest b = sha256("b");
  Digest c = sha256("c");
  Digest d = sha256("d");
  GcInput input{.layers = {{a, {}, sha256("ba")}, {b, a, sha256("bb")}, {c, b, {}}, {d, a, sha256("bd")}},
                .blobs = {sha256("ba"), sha256("bb"), sha256("bd"), sha256("config"), sha256("stray")},
                .chain_roots = {d, sha256("unknown")},
                .blob_roots = {sha256("config")}};
  GcPlan plan = plan_collection(input);
  EXPECT_EQ(plan.layers, (std::vector<Digest>{c, b}));
  EXPECT_EQ(std::set<Digest>(plan.blobs.begin(), plan.blobs.end()),
            (std::set<Digest>{sha256("bb"), sha256("stray")}));
  input.chain_roots.clear();
  plan = plan_collection(input);
  EXPECT_EQ(plan.layers.size(), 4u);
  EXPECT_EQ(plan.layers.back(), a);
  EXPECT_TRUE(plan_collection({}).layers.empty());
}

}  // namespace
}  // namespace berth::storage
