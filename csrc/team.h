// The threads of one call: started once, given one task after the other, joined at the end.
#ifndef UNETFAST_TEAM_H
#define UNETFAST_TEAM_H

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace unetfast {

class Team {
  public:
    explicit Team(int size);
    ~Team();
    int size() const { return static_cast<int>(threads_.size()) + 1; }

    // Run task(member) for every member from 0 to size - 1, the caller being one; return when all
    // are done. A task must not throw.
    void run(const std::function<void(int)> &task);

  private:
    void serve(int member);

    std::mutex mutex_;
    std::condition_variable start_, finish_;
    const std::function<void(int)> *task_ = nullptr;
    unsigned round_ = 0;  // counts the tasks given
    int busy_ = 0;
    bool quit_ = false;
    std::vector<std::thread> threads_;
};

}  // namespace unetfast
#endif
