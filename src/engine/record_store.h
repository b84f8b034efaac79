// RecordStore: the engine's tables in the database. Every call is a short statement of some tens of
// microseconds, without a sync of the disk (WAL, synchronous=NORMAL): a kill of the daemon loses nothing.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "engine/records.h"
#include "network/records.h"
#include "storage/database.h"

namespace berth::engine {

class RecordStore {
 public:
  /// Makes or upgrades the tables.
  static Result<RecordStore> open(storage::Database& database);

  /// A random id that stays with this data root.
  Result<std::string> engine_id();

  /// AlreadyExists when the name is taken.
  Result<void> insert_container(const ContainerRecord& record);
  Result<void> save_definition(const ContainerRecord& record);
  Result<void> save_state(const ContainerRecord& record);
  /// Its endpoints and execs go with it.
  Result<void> remove_container(std::string_view id);
  struct Loaded {
    std::vector<ContainerRecord> containers;
    std::vector<Error> damaged;  ///< records that could not be read; they stay in the database
  };
  Result<Loaded> load_containers();

  Result<void> save_endpoint(const network::EndpointRecord& endpoint);
  Result<void> remove_endpoint(std::string_view id);
  Result<std::vector<network::EndpointRecord>> load_endpoints();

  Result<void> save_network(const network::NetworkRecord& network);
  Result<void> remove_network(std::string_view id);
  Result<std::vector<network::NetworkRecord>> load_networks();

  Result<void> save_volume(const VolumeRecord& volume);
  Result<void> remove_volume(std::string_view name);
  /// Both in one transaction.
  Result<void> replace_volume(std::string_view name, const VolumeRecord& by);
  Result<std::vector<VolumeRecord>> load_volumes();

  /// Execs that run, so that the next daemon knows what they are.
  Result<void> save_exec(const ExecRecord& exec);
  Result<void> remove_exec(std::string_view id);
  Result<std::vector<ExecRecord>> load_execs();

 private:
  explicit RecordStore(storage::Database& database) : database_(&database) {}
  Result<void> put(std::string_view sql, std::string_view key, std::string_view value);
  Result<void> erase(std::string_view sql, std::string_view key);
  storage::Database* database_;
};

}  // namespace berth::engine
