// JSON documents as template values.
#include "apps/berth/gotemplate/document.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "base/format.h"
#include "base/json.h"

namespace berth::cli::gotemplate {
namespace {

constexpr size_t max_bytes = 64u << 20;
constexpr size_t max_depth = 64;

struct MapKey {
  std::string_view key;
  Shape shape;
};

/// Keys whose objects are maps in docker's types; all other objects are structs.
constexpr std::array map_keys{
    MapKey{"Labels", Shape::StringMap},
    MapKey{"Options", Shape::StringMap},
    MapKey{"DriverOpts", Shape::StringMap},
    MapKey{"Data", Shape::StringMap},
    MapKey{"StorageOpt", Shape::StringMap},
    MapKey{"Tmpfs", Shape::StringMap},
    MapKey{"Sysctls", Shape::StringMap},
    MapKey{"Annotations", Shape::StringMap},
    MapKey{"AuxiliaryAddresses", Shape::StringMap},
    MapKey{"Details", Shape::StringMap},
    MapKey{"Attributes", Shape::StringMap},
    MapKey{"ExposedPorts", Shape::Map},
    MapKey{"Volumes", Shape::Map},
    MapKey{"PortBindings", Shape::Map},
    MapKey{"Ports", Shape::Map},
    MapKey{"Networks", Shape::Map},
    MapKey{"Containers", Shape::Map},
    MapKey{"Runtimes", Shape::Map},
    MapKey{"IndexConfigs", Shape::Map},
    MapKey{"Config.Config", Shape::StringMap},
};

/// Keys whose null is a nil slice; a null map is told by map_keys, any other null is a nil pointer.
constexpr std::array list_keys{"Args",
                               "Env",
                               "Cmd",
                               "Entrypoint",
                               "OnBuild",
                               "Shell",
                               "Binds",
                               "Dns",
                               "DnsOptions",
                               "DnsSearch",
                               "ExtraHosts",
                               "GroupAdd",
                               "Links",
                               "VolumesFrom",
                               "CapAdd",
                               "CapDrop",
                               "SecurityOpt",
                               "Mounts",
                               "Devices",
                               "DeviceRequests",
                               "Ulimits",
                               "Aliases",
                               "DNSNames",
                               "DeviceCgroupRules",
                               "BlkioWeightDevice",
                               "MaskedPaths",
                               "ExecIDs",
                               "RepoTags",
                               "ReadonlyPaths",
                               "BlkioDeviceReadBps",
                               "RepoDigests",
                               "Layers",
                               "LinkLocalIPs",
                               "BlkioDeviceWriteBps",
                               "BlkioDeviceReadIOps",
                               "SecurityOptions",
                               "Warnings",
                               "BlkioDeviceWriteIOps",
                               "SecondaryIPAddresses",
                               "SecondaryIPv6Addresses"};

enum class Zero { Nil, Text, Number, False, List, Map };

struct OptionalField {
  std::string_view parent;  ///< key under which the object stands; "" is the document itself
  std::string_view field;
  Zero zero;
};

/// Fields that docker leaves out of its JSON when they are empty.
constexpr std::array optional_fields{
    OptionalField{"", "SizeRw", Zero::Nil},
    OptionalField{"", "SizeRootFs", Zero::Nil},
    OptionalField{"", "ExecIDs", Zero::List},
    OptionalField{"", "ImageManifestDescriptor", Zero::Nil},
    OptionalField{"State", "Health", Zero::Nil},
    OptionalField{"Config", "ExposedPorts", Zero::Map},
    OptionalField{"Config", "Healthcheck", Zero::Nil},
    OptionalField{"Config", "ArgsEscaped", Zero::False},
    OptionalField{"Config", "NetworkDisabled", Zero::False},
    OptionalField{"Config", "MacAddress", Zero::Text},
    OptionalField{"Config", "StopSignal", Zero::Text},
    OptionalField{"Config", "StopTimeout", Zero::Nil},
    OptionalField{"Config", "Shell", Zero::List},
    OptionalField{"HostConfig", "Annotations", Zero::Map},
    OptionalField{"HostConfig", "Mounts", Zero::List},
    OptionalField{"HostConfig", "StorageOpt", Zero::Map},
    OptionalField{"HostConfig", "Tmpfs", Zero::Map},
    OptionalField{"HostConfig", "Sysctls", Zero::Map},
    OptionalField{"HostConfig", "Runtime", Zero::Text},
    OptionalField{"HostConfig", "Init", Zero::Nil},
    OptionalField{"HostConfig", "KernelMemory", Zero::Number},
    OptionalField{"NetworkSettings", "SecondaryIPAddresses", Zero::List},
    OptionalField{"Mounts", "Name", Zero::Text},
    OptionalField{"Mounts", "Driver", Zero::Text},
    OptionalField{"Mounts", "Propagation", Zero::Text},
};

Value zero_value(Zero zero) {
  switch (zero) {
    case Zero::Nil:
      return Nil{};
    case Zero::Text:
      return "";
    case Zero::Number:
      return 0;
    case Zero::False:
      return false;
    case Zero::List:
      return Nil{"[]"};
    case Zero::Map:
      return Nil{"map[]"};
  }
  return Nil{};
}

/// Go's order of the fields of a mount point; `{{.Mounts}}` prints them by it.
constexpr std::array mount_order{"Type",   "Name", "Source", "Destination",
                                 "Driver", "Mode", "RW",     "Propagation"};

size_t mount_rank(std::string_view field) {
  return static_cast<size_t>(std::find(mount_order.begin(), mount_order.end(), field) - mount_order.begin());
}

/// Builds the value while nlohmann's parser reads: no intermediate tree, no recursion.
class Builder {
 public:
  explicit Builder(Typing typing) : typing_(typing) {}

  bool null() { return add(typing_ == Typing::Typed ? typed_null() : Value()); }
  bool boolean(bool value) { return add(value); }
  bool number_integer(int64_t value) {
    return typing_ == Typing::Typed ? add(value) : add(std::to_string(value));
  }
  bool number_unsigned(uint64_t value) {
    return typing_ == Typing::Typed ? add(Value(value)) : add(std::to_string(value));
  }
  bool number_float(double value, const std::string& text) {
    return typing_ == Typing::Typed ? add(value) : add(text);
  }
  bool string(std::string& value) { return add(std::move(value)); }
  bool binary(std::vector<uint8_t>&) { return false; }
  bool start_object(size_t) { return open(false); }
  bool start_array(size_t) { return open(true); }
  bool key(std::string& name) {
    stack_.back().key = std::move(name);
    return true;
  }
  bool end_array() {
    List list = std::move(stack_.back().list);
    stack_.pop_back();
    return add(std::move(list));
  }
  bool end_object() {
    Object object = std::move(stack_.back().object);
    std::string_view name = stack_.back().name;
    if (typing_ == Typing::Typed && object.shape == Shape::Struct) restore(object, name);
    stack_.pop_back();
    return add(std::move(object));
  }
  bool parse_error(size_t, const std::string&, const std::exception& error) {
    error_ = error.what();
    return false;
  }

  Value take() { return std::move(root_); }
  const std::string& error() const { return error_; }

 private:
  struct Frame {
    bool is_list = false;
    std::string name;  ///< key under which the object or list stands
    std::string key;
    Object object;
    List list;
  };

  Value typed_null() const {
    if (stack_.empty() || stack_.back().is_list) return Nil{};
    const std::string& key = stack_.back().key;
    for (std::string_view list : list_keys) {
      if (list == key) return Nil{"[]"};
    }
    for (const MapKey& map : map_keys) {
      if (map.key == key) return Nil{"map[]"};
    }
    return Nil{};
  }

  bool open(bool is_list) {
    if (stack_.size() >= max_depth) {
      error_ = "nested too deep";
      return false;
    }
    Frame frame;
    frame.is_list = is_list;
    std::string_view parent;
    if (!stack_.empty()) {
      // Elements of a list and entries of a map count as standing under the name of the list or map.
      frame.name = stack_.back().is_list ? stack_.back().name : stack_.back().key;
      parent = stack_.back().name;
      if (!stack_.back().is_list && stack_.back().object.shape != Shape::Struct) frame.name = "entry";
    }
    frame.object.shape = typing_ == Typing::Typed ? shape_of(frame.name, parent) : Shape::Map;
    stack_.push_back(std::move(frame));
    return true;
  }

  static Shape shape_of(std::string_view name, std::string_view parent) {
    if (name == "Config" && parent == "LogConfig") return Shape::StringMap;
    for (const MapKey& known : map_keys) {
      if (known.key == name) return known.shape;
    }
    return Shape::Struct;
  }

  static void restore(Object& object, std::string_view name) {
    for (const OptionalField& optional : optional_fields) {
      if (optional.parent == name && find(object, optional.field) == nullptr) {
        object.fields.emplace_back(std::string(optional.field), zero_value(optional.zero));
        object.left_out.push_back(optional.field);
      }
    }
    if (name == "Mounts" && find(object, "Destination") != nullptr) {
      std::stable_sort(object.fields.begin(), object.fields.end(), [](const auto& left, const auto& right) {
        return mount_rank(left.first) < mount_rank(right.first);
      });
    }
  }

  bool add(Value value) {
    if (stack_.empty()) {
      root_ = std::move(value);
    } else if (stack_.back().is_list) {
      stack_.back().list.push_back(std::move(value));
    } else {
      stack_.back().object.fields.emplace_back(std::move(stack_.back().key), std::move(value));
    }
    return true;
  }

  Typing typing_;
  std::vector<Frame> stack_;
  Value root_;
  std::string error_;
};

}  // namespace

Result<Value> parse_document(std::string_view json, Typing typing) {
  if (json.size() > max_bytes) return failure(Kind::InvalidArgument, "the engine's answer is too large");
  Builder builder(typing);
  if (!Json::sax_parse(json.begin(), json.end(), &builder)) {
    return failure(Kind::InvalidArgument, "unable to read inspect data: {}", builder.error());
  }
  return builder.take();
}

}  // namespace berth::cli::gotemplate
