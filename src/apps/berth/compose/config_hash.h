// Hashes by which a later `up` sees whether what is there is still what the files say. They are docker's
// compose's (2.40), so that each of the two takes over what the other has made. Pure.
#pragma once

#include <string>

#include "apps/berth/compose/request.h"

namespace berth::cli::compose {

/// Of what a container is made from: not of build, scale, profiles and the order of start. References to
/// other services' containers count as those containers' ids.
std::string config_hash(const Service& service, const ContainerOf& container_of = {});
/// The same before environment and label files are read and references followed: `config --hash`.
std::string declared_hash(const Service& service);
/// Of the secrets and configs that the service is given, with their contents where those are not files of the
/// host; empty: it is given none.
std::string grants_hash(const Project& project, const Service& service);
std::string network_hash(const Resource& network);
std::string volume_hash(const Resource& volume);

}  // namespace berth::cli::compose
