// Threads, those who wait, and what they are told.
#include "engine/registry_jobs.h"

#include <signal.h>

namespace berth::engine {

RegistryJobs::RegistryJobs(io::EventLoop& loop, registry::Settings settings, storage::ImageStore& images)
    : loop_(loop),
      images_(images),
      client_(std::make_unique<registry::Client>(std::move(settings), images)) {}

void RegistryJobs::replace_settings(registry::Settings settings) {
  auto fresh = std::make_unique<registry::Client>(std::move(settings), images_);
  std::swap(client_, fresh);
  if (!threads_.empty()) retired_.push_back(std::move(fresh));
}

RegistryJobs::~RegistryJobs() {
  alive_.reset();
  stop_all();
  for (auto& [id, entry] : threads_) entry.second.join();
}

void RegistryJobs::stop_all() {
  for (auto& [id, entry] : threads_) entry.first->stop.request_stop();
}

std::shared_ptr<RegistryJobs::Job> RegistryJobs::find(const std::string& key) const {
  auto it = key.empty() ? shared_.end() : shared_.find(key);
  return it == shared_.end() ? nullptr : it->second;
}

std::shared_ptr<RegistryJobs::Job> RegistryJobs::start(const std::string& key, std::shared_ptr<void> result,
                                                       Body body) {
  auto job = std::make_shared<Job>();
  job->key = key;
  job->result = std::move(result);
  if (!key.empty()) shared_[key] = job;
  uint64_t id = next_thread_++;
  std::weak_ptr<Alive> alive = alive_;
  io::EventLoop* loop = &loop_;
  auto post = [alive, loop](std::function<void()> work) {
    loop->post([alive, work = std::move(work)] {
      if (alive.lock()) work();
    });
  };
  auto tell = [this, post, job](const registry::Message& message) {
    post([this, job, message] { heard(*job, message); });
  };
  // Signals belong to the loop thread.
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  std::thread thread([this, post, job, id, tell, body = std::move(body)] {
    ::pthread_setname_np(::pthread_self(), "registry");
    body(tell, job->stop.get_token());
    post([this, job, id] { ended(job, id); });
  });
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  threads_.emplace(id, std::pair(job, std::move(thread)));
  return job;
}

void RegistryJobs::heard(Job& job, const registry::Message& message) {
  if (!message.id.empty()) {
    auto [place, fresh] = job.places.try_emplace(message.id, job.latest.size());
    if (fresh) job.latest.push_back(message);
    job.latest[place->second] = message;
  }
  for (const auto& [id, listener] : job.listeners) {
    if (listener) listener(message);
  }
}

void RegistryJobs::ended(const std::shared_ptr<Job>& job, uint64_t thread) {
  auto it = threads_.find(thread);
  if (it != threads_.end()) {
    it->second.second.join();
    threads_.erase(it);
  }
  if (threads_.empty()) retired_.clear();
  job->ended = true;
  auto shared = shared_.find(job->key);
  if (shared != shared_.end() && shared->second == job) shared_.erase(shared);
  job->changed.notify_all();
}

void RegistryJobs::leave(const std::shared_ptr<Job>& job) {
  if (job->ended || !job->listeners.empty()) return;
  job->stop.request_stop();
  // Who asks from now on must not be given what is being broken off.
  auto shared = shared_.find(job->key);
  if (shared != shared_.end() && shared->second == job) shared_.erase(shared);
}

/// One who waits for a job: destroyed together with the waiting task.
class RegistryJobs::Listening {
 public:
  Listening(RegistryJobs& jobs, std::shared_ptr<Job> job, registry::MessageCallback tell)
      : jobs_(jobs), alive_(jobs.alive_), job_(std::move(job)), id_(job_->next_listener++) {
    job_->listeners.emplace(id_, std::move(tell));
  }
  Listening(const Listening&) = delete;
  ~Listening() {
    job_->listeners.erase(id_);
    if (alive_.lock()) jobs_.leave(job_);
  }

 private:
  RegistryJobs& jobs_;
  std::weak_ptr<Alive> alive_;
  std::shared_ptr<Job> job_;
  uint64_t id_;
};

io::Task<void> RegistryJobs::wait_for(std::shared_ptr<Job> job, registry::MessageCallback tell) {
  if (tell) {
    for (const registry::Message& message : job->latest) tell(message);
  }
  Listening listening(*this, job, std::move(tell));
  while (!job->ended) co_await job->changed.wait();
}

}  // namespace berth::engine
