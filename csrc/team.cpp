#include "team.h"

#include <system_error>

namespace unetfast {

Team::Team(int size) {
    threads_.reserve(static_cast<size_t>(size - 1));
    try {
        for (int member = 1; member < size; ++member)
            threads_.emplace_back([this, member] { serve(member); });
    } catch (const std::system_error &) {
        // The system gives no more threads; the ones there are do the same work.
    }
}

Team::~Team() {
    {
        std::lock_guard<std::mutex> lock(mutex_);
        quit_ = true;
    }
    start_.notify_all();
    for (std::thread &thread : threads_) thread.join();
}

void Team::run(const std::function<void(int)> &task) {
    {
        std::lock_guard<std::mutex> lock(mutex_);
        task_ = &task;
        busy_ = static_cast<int>(threads_.size());
        ++round_;
    }
    start_.notify_all();
    task(0);
    std::unique_lock<std::mutex> lock(mutex_);
    finish_.wait(lock, [this] { return busy_ == 0; });
}

void Team::serve(int member) {
    unsigned done = 0;
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
        start_.wait(lock, [&] { return quit_ || round_ != done; });
        if (quit_) return;
        done = round_;
        lock.unlock();
        (*task_)(member);
        lock.lock();
        if (--busy_ == 0) finish_.notify_one();
    }
}

}  // namespace unetfast
