// What events of images carry.
#pragma once

#include <map>
#include <string>

#include "storage/image_store.h"

namespace berth::engine {

/// The image's labels and `name`, which comes before a label of that name. `reference`: the image's id or a
/// name; of one that is gone, the name alone.
inline std::map<std::string, std::string> image_event_attributes(const storage::ImageStore& store,
                                                                 const std::string& reference,
                                                                 const std::string& name) {
  std::map<std::string, std::string> attributes;
  if (const auto image = store.resolve(reference))
    attributes.insert(image->config->config.labels.begin(), image->config->config.labels.end());
  attributes["name"] = name;
  return attributes;
}

}  // namespace berth::engine
