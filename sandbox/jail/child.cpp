// Theory of operation. This file is the only code that runs between clone3 and execveat. The child shares
// nothing with its parent but is a copy of it at an arbitrary moment, so it may use raw system calls and
// nothing else: no allocation, no locks, no exceptions, no sanitizer runtime (built with -fno-exceptions
// -fno-rtti -fno-sanitize=all). Order matters: what needs privileges comes before they are given up, and the
// limits come last because some of the steps before them would not fit. Each step is checked; on the first
// failure the child says which and ends, so a half-built jail never runs anything.
#include "sandbox/jail/child.hpp"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <linux/mount.h>
#include <linux/securebits.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace assay::sandbox {
namespace {

constexpr unsigned long kMsRec = 16384;
constexpr unsigned long kMsPrivate = 1UL << 18;
constexpr unsigned long kMntDetach = 2;
constexpr unsigned kCharacterDevice = 0020666;  // S_IFCHR, for everybody
constexpr unsigned kReadOnly = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV;

// Where the two descriptors that execveat still needs sit; both are close-on-exec.
constexpr int kHostFd = kGroupFd + kGroupFiles;
constexpr int kErrorFd = kHostFd + 1;
constexpr int kFolderFd = kErrorFd + 1;       // those of JailAccess, until they are mounted
constexpr size_t kOwn = kJailFolders.size();  // the one beside them: RootEntry::Kind::own
constexpr size_t kTaken = kOwn + 1;
static_assert(kFolderFd + kTaken == kLibraryFd && kLibraryFd < kFirstPlanFd);
constexpr int kBacklog = 64;

class Child {
 public:
  explicit Child(const ChildPlan& plan) : plan_(plan), error_fd_(plan.error_fd) {}

  [[noreturn]] void run_root_maker() {
    // Dies with the spawner: by the signal, or by the pipe when that is too late.
    check(Step::parent_death, syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0));
    check(Step::close_descriptors, syscall(SYS_close_range, 0, error_fd_ - 1, 0));
    check(Step::close_descriptors, syscall(SYS_close_range, error_fd_ + 1, ~0U, 0));
    make_root();
    const ChildError ready{Step::none, 0};
    check(Step::answer, syscall(SYS_write, error_fd_, &ready, sizeof ready));
    for (;;) syscall(SYS_pause);
  }

  [[noreturn]] void run() {
    for (size_t i = 0; i < plan_.entrance_count; i++)
      check(Step::enter_group, syscall(SYS_write, plan_.entrance_fds[i], "0", 1));
    if (plan_.network_fd >= 0) check(Step::enter_network, syscall(SYS_setns, plan_.network_fd, CLONE_NEWNET));
    take_folders();  // as who we were: they may be for nobody else to enter
    if (plan_.mode == Mode::userns) {
      wait_for_map();
      become_user();  // now: as a user without a name here it could make no file
    }
    if (plan_.mounts_fd >= 0) copy_mounts();
    check(Step::session, syscall(SYS_setsid));
    place_descriptors();
    if (plan_.mode != Mode::nons) enter_new_root();
    if (plan_.access != nullptr && plan_.access->proxy) listen_on_loopback();
    check(Step::enter_root, syscall(SYS_chdir, "/"));
    if (plan_.privileged) drop_privileges();
    check(Step::no_new_privileges, syscall(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    // Changing the user clears this, so it comes after. A spawner that died before is noticed by the host:
    // its protocol socket is closed.
    check(Step::parent_death, syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0));
    for (size_t i = 0; i < plan_.rlimit_count; i++) {
      const rlimit64 limit{plan_.rlimits[i].value, plan_.rlimits[i].value};
      check(Step::limits, syscall(SYS_prlimit64, 0, plan_.rlimits[i].resource, &limit, nullptr));
    }
    char* const environment[] = {nullptr};
    syscall(SYS_execveat, kHostFd, "", plan_.argv, environment, AT_EMPTY_PATH);
    fail(Step::execute);
  }

 private:
  [[noreturn]] void fail(Step step) {
    const ChildError record{step, errno};
    syscall(SYS_write, error_fd_, &record, sizeof record);
    for (;;) syscall(SYS_exit_group, 127);
  }

  void check(Step step, long result) {
    if (result < 0) fail(step);
  }

  void wait_for_map() {
    char byte;
    long count;
    do count = syscall(SYS_read, plan_.go_fd, &byte, 1);
    while (count < 0 && errno == EINTR);
    check(Step::wait_for_map, count);
    if (count != 1) {  // the spawner closed without the go: the map could not be written
      errno = ECANCELED;
      fail(Step::wait_for_map);
    }
  }

  void place_descriptors() {
    for (int fd = 0; fd < kProtocolFd; fd++)
      check(Step::descriptors, syscall(SYS_dup3, plan_.null_fd, fd, 0));
    check(Step::descriptors, syscall(SYS_dup3, plan_.protocol_fd, kProtocolFd, 0));
    for (size_t i = 0; i < plan_.group_fd_count; i++)
      check(Step::descriptors, syscall(SYS_dup3, plan_.group_fds[i], kGroupFd + static_cast<int>(i), 0));
    check(Step::descriptors, syscall(SYS_dup3, plan_.host_fd, kHostFd, O_CLOEXEC));
    check(Step::descriptors, syscall(SYS_dup3, plan_.error_fd, kErrorFd, O_CLOEXEC));
    error_fd_ = kErrorFd;
    for (int fd = kGroupFd + static_cast<int>(plan_.group_fd_count); fd < kHostFd; fd++)
      syscall(SYS_close, fd);  // nothing may be there
    for (size_t i = 0; i < kTaken; i++) {
      const int place = kFolderFd + static_cast<int>(i);
      if (folders_[i] < 0)
        syscall(SYS_close, place);
      else
        check(Step::descriptors, syscall(SYS_dup3, folders_[i], place, O_CLOEXEC));
    }
    if (plan_.library_fd < 0)
      syscall(SYS_close, kLibraryFd);
    else
      check(Step::descriptors, syscall(SYS_dup3, plan_.library_fd, kLibraryFd, 0));
    check(Step::close_descriptors, syscall(SYS_close_range, kLibraryFd + 1, ~0U, 0));
  }

  // While paths still are this machine's. Detached copies, to be put into the root once it is there. Without
  // a root of its own a jail finds them where they are, if its host lets it.
  void take_folders() {
    if (plan_.mode == Mode::nons) return;
    for (size_t i = 0; plan_.access != nullptr && i < kJailFolders.size(); i++)
      if (plan_.access->folders[i].source[0] != 0)
        folders_[i] = take(plan_.access->folders[i].source, plan_.access->folders[i].writable);
    for (size_t i = 0; plan_.mode == Mode::userns && i < plan_.root_count; i++)
      if (plan_.root[i].kind == RootEntry::Kind::own) folders_[kOwn] = take(plan_.root[i].source, false);
  }

  int take(const char* source, bool writable) {
    const long tree = syscall(SYS_open_tree, AT_FDCWD, source, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    check(Step::mount_folders, tree);
    const unsigned attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
    set_attributes(Step::mount_folders, tree, attributes | (writable ? 0 : MOUNT_ATTR_RDONLY), 0);
    const long high = syscall(SYS_fcntl, tree, F_DUPFD_CLOEXEC, kFirstPlanFd);
    check(Step::mount_folders, high);
    syscall(SYS_close, tree);
    return static_cast<int>(high);
  }

  // In a network namespace of the jail's own, where nothing else is. The listener goes to the spawner as the
  // first thing on the protocol's stream, which the spawner takes off it again.
  void listen_on_loopback() {
    const long listener = syscall(SYS_socket, AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    check(Step::listen, listener);
    ifreq loopback{};
    loopback.ifr_name[0] = 'l';
    loopback.ifr_name[1] = 'o';
    loopback.ifr_flags = IFF_UP | IFF_RUNNING;
    check(Step::listen, syscall(SYS_ioctl, listener, SIOCSIFFLAGS, &loopback));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(kProxyPort);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    check(Step::listen, syscall(SYS_bind, listener, &address, sizeof address));
    check(Step::listen, syscall(SYS_listen, listener, kBacklog));

    char byte = 0;
    iovec part{&byte, sizeof byte};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    *reinterpret_cast<int*>(CMSG_DATA(header)) = static_cast<int>(listener);
    check(Step::listen, syscall(SYS_sendmsg, kProtocolFd, &message, MSG_NOSIGNAL));
    syscall(SYS_close, listener);
  }

  // There is nothing but the root in them, which becomes ours: nothing of this machine to copy, and to detach
  // again.
  void copy_mounts() {
    check(Step::copy_mounts, syscall(SYS_setns, plan_.mounts_fd, CLONE_NEWNS));
    check(Step::copy_mounts, syscall(SYS_unshare, CLONE_NEWNS));
  }

  void enter_new_root() {
    check(Step::hostname, syscall(SYS_sethostname, "jail", 4));
    if (plan_.mounts_fd < 0)
      make_root();
    else if (plan_.root_count > 0)
      mount_own();
    check(Step::close_descriptors, syscall(SYS_close_range, kErrorFd + 1, ~0U, 0));
  }

  // A read-only tmpfs as the root, empty or filled by the plan. It is put over the old root, which still is
  // what absolute paths mean here, so that the host's directories can be mirrored into it; then
  // pivot_root(".", ".") stacks the old root on the new one, and detaching it leaves no path back (chroot
  // would).
  void make_root() {
    check(Step::private_mounts, syscall(SYS_mount, nullptr, "/", nullptr, kMsRec | kMsPrivate, nullptr));
    const bool filled = plan_.root_count > 0;
    const long fs = open_file_system(Step::make_root, "tmpfs");
    set_option(Step::make_root, fs, "size", filled ? "65536" : "4096");
    set_option(Step::make_root, fs, "nr_inodes", filled ? "64" : "2");
    set_option(Step::make_root, fs, "mode", "0555");
    const unsigned attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC | (filled ? 0 : kReadOnly);
    const long root = create_mount(Step::make_root, fs, attributes);
    check(Step::make_root, syscall(SYS_move_mount, root, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH));
    check(Step::enter_root, syscall(SYS_fchdir, root));
    if (filled) fill_root(root);
    check(Step::enter_root, syscall(SYS_pivot_root, ".", "."));
    check(Step::enter_root, syscall(SYS_umount2, ".", kMntDetach));
  }

  // The new root is the working directory.
  void fill_root(long root) {
    syscall(SYS_umask, 0);
    for (size_t i = 0; i < plan_.root_count; i++) make_entry(plan_.root[i]);
    if (plan_.scratch_bytes[0] != 0) mount_own();
    set_attributes(Step::fill_root, root, MOUNT_ATTR_RDONLY, 0);
    syscall(SYS_umask, 022);
  }

  // What no two jails share.
  void mount_own() {
    const long scratch = open_file_system(Step::mount_scratch, "tmpfs");
    set_option(Step::mount_scratch, scratch, "size", plan_.scratch_bytes);
    set_option(Step::mount_scratch, scratch, "nr_inodes", plan_.scratch_inodes);
    set_option(Step::mount_scratch, scratch, "mode", "1777");
    attach(
        Step::mount_scratch,
        create_mount(Step::mount_scratch, scratch, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC),
        "tmp");

    // Only the processes of this jail, and nothing else of what /proc has to tell.
    const long proc = open_file_system(Step::mount_proc, "proc");
    set_option(Step::mount_proc, proc, "subset", "pid");
    create(Step::mount_proc, proc);
    const long mount =
        syscall(SYS_fsmount, proc, FSMOUNT_CLOEXEC, kReadOnly | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
    // Where parts of the machine's /proc are covered, as in most containers, a user namespace gets no fresh
    // one: its jails have none.
    if (mount >= 0 || plan_.mode != Mode::userns || errno != EPERM) {
      check(Step::mount_proc, mount);
      attach(Step::mount_proc, mount, "proc");
    }
    syscall(SYS_close, proc);
    for (size_t i = 0; i < kJailFolders.size(); i++)
      if (folders_[i] >= 0) attach(Step::mount_folders, kFolderFd + static_cast<int>(i), kJailFolders[i]);
  }

  void make_entry(const RootEntry& entry) {
    switch (entry.kind) {
      case RootEntry::Kind::directory:
        return check(Step::fill_root, syscall(SYS_mkdirat, AT_FDCWD, entry.path, 0755));
      case RootEntry::Kind::link:
        return check(Step::fill_root, syscall(SYS_symlinkat, entry.source, AT_FDCWD, entry.path));
      case RootEntry::Kind::file:
        return make_file(entry.path, entry.source);
      case RootEntry::Kind::mirror:
        return mirror(entry.source, entry.path, kReadOnly | MOUNT_ATTR_NOSUID);
      case RootEntry::Kind::own:
        if (plan_.mode != Mode::userns)
          return mirror(entry.source, entry.path, kReadOnly | MOUNT_ATTR_NOSUID);
        return attach(Step::mirror_host, kFolderFd + static_cast<int>(kOwn), entry.path);
      case RootEntry::Kind::device:
        // Root of this machine can make a device; root of a user namespace has to take the host's.
        if (plan_.mode == Mode::full)
          return check(Step::make_devices,
                       syscall(SYS_mknodat, AT_FDCWD, entry.path, kCharacterDevice, entry.device));
        make_file(entry.path, "");
        return mirror(entry.source, entry.path, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
    }
  }

  void make_file(const char* path, const char* text) {
    const long file = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
    check(Step::fill_root, file);
    size_t size = 0;
    while (text[size] != 0) size++;
    if (size > 0) check(Step::fill_root, syscall(SYS_write, file, text, size));
    syscall(SYS_close, file);
  }

  void mirror(const char* source, const char* path, unsigned attributes) {
    const long tree =
        syscall(SYS_open_tree, AT_FDCWD, source, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
    check(Step::mirror_host, tree);
    set_attributes(Step::mirror_host, tree, attributes, AT_RECURSIVE);
    attach(Step::mirror_host, tree, path);
  }

  long open_file_system(Step step, const char* type) {
    const long fs = syscall(SYS_fsopen, type, FSOPEN_CLOEXEC);
    check(step, fs);
    return fs;
  }

  void set_option(Step step, long fs, const char* key, const char* value) {
    check(step, syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, key, value, 0));
  }

  void create(Step step, long fs) {
    check(step, syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, nullptr, nullptr, 0));
  }

  long create_mount(Step step, long fs, unsigned attributes) {
    create(step, fs);
    const long mount = syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, attributes);
    check(step, mount);
    syscall(SYS_close, fs);
    return mount;
  }

  void set_attributes(Step step, long mount, unsigned attributes, unsigned flags) {
    mount_attr change{};
    change.attr_set = attributes;
    check(step, syscall(SYS_mount_setattr, mount, "", AT_EMPTY_PATH | flags, &change, sizeof change));
  }

  void attach(Step step, long mount, const char* path) {
    check(step, syscall(SYS_move_mount, mount, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH));
    syscall(SYS_close, mount);
  }

  void drop_privileges() {
    for (int capability = 0; syscall(SYS_prctl, PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; capability++)
      check(Step::drop_bounding, syscall(SYS_prctl, PR_CAPBSET_DROP, capability, 0, 0, 0));
    const unsigned long bits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE |
                               SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED | SECBIT_KEEP_CAPS_LOCKED;
    check(Step::drop_bounding, syscall(SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0));
    check(Step::drop_bounding, syscall(SYS_prctl, PR_SET_SECUREBITS, bits, 0, 0, 0));
    if (plan_.mode != Mode::userns) become_user();
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    const __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {};
    check(Step::drop_capabilities, syscall(SYS_capset, &header, none));
  }

  /// Of a user namespace: keeps the capabilities in it. Else loses them.
  void become_user() {
    if (plan_.drop_groups) check(Step::drop_groups, syscall(SYS_setgroups, 0, nullptr));
    check(Step::change_group, syscall(SYS_setresgid, plan_.gid, plan_.gid, plan_.gid));
    check(Step::change_user, syscall(SYS_setresuid, plan_.uid, plan_.uid, plan_.uid));
  }

  const ChildPlan& plan_;
  int error_fd_;
  int folders_[kTaken] = {-1, -1, -1, -1};
};

}  // namespace

void run_child(const ChildPlan& plan) noexcept {
  Child(plan).run();
}

void run_root_maker(const ChildPlan& plan) noexcept {
  Child(plan).run_root_maker();
}

}  // namespace assay::sandbox
