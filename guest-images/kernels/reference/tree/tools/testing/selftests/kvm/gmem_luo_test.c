// SPDX-License-Identifier: GPL-2.0-only
/*
 * A guest_memfd in a session of the Live Update Orchestrator, see "Over a kexec" in
 * Documentation/virt/kvm/async-run.rst.
 *
 * Needs nothing but the uapi headers:
 *	gcc -O2 -static -I<usr/include> gmem_luo_test.c -o gmem_luo_test
 *
 * Without arguments: what can be seen in one kernel, as KTAP. Over a kexec, by hand:
 *	gmem_luo_test hold &		fills a file, preserves it and stays
 *	kexec -s -l ...; kexec -e
 *	gmem_luo_test check		retrieves it, and says whether it is the same
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <linux/falloc.h>
#include <linux/kvm.h>
#include <linux/liveupdate.h>

#ifndef GUEST_MEMFD_FLAG_MMAP
#define GUEST_MEMFD_FLAG_MMAP		(1ULL << 0)
#endif
#ifndef GUEST_MEMFD_FLAG_INIT_SHARED
#define GUEST_MEMFD_FLAG_INIT_SHARED	(1ULL << 1)
#endif

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#define SIZE		(8UL << 20)
#define HOLE		(SIZE / 2)	/* a page that nobody has touched */
#define CYCLES		200
#define NAME		"gmem-luo-test"
#define TOKEN		7

static int kvm, luo;
static long page;

#define want(what)							\
	do {								\
		if (!(what)) {						\
			printf("# line %d: %s: %s\n", __LINE__, #what, strerror(errno)); \
			return false;					\
		}							\
	} while (0)

/* -errno of a call that was refused; 0, or what it gave, if it was not. */
#define refusal(call)	({ long r_ = (call); r_ < 0 ? -errno : r_; })

static int new_gmem(int vm, uint64_t flags)
{
	struct kvm_create_guest_memfd args = { .size = SIZE, .flags = flags };

	return ioctl(vm, KVM_CREATE_GUEST_MEMFD, &args);
}

static int new_shared(int vm)
{
	return new_gmem(vm, GUEST_MEMFD_FLAG_MMAP | GUEST_MEMFD_FLAG_INIT_SHARED);
}

static int set_slot_from(int vm, int fd, void *at, uint64_t offset)
{
	struct kvm_userspace_memory_region2 slot = {
		.flags = KVM_MEM_GUEST_MEMFD, .memory_size = SIZE,
		.userspace_addr = (uintptr_t)at, .guest_memfd = fd,
		.guest_memfd_offset = offset,
	};

	return ioctl(vm, KVM_SET_USER_MEMORY_REGION2, &slot);
}

static int set_slot(int vm, int fd, void *at)
{
	return set_slot_from(vm, fd, at, 0);
}

static uint64_t *map(int fd)
{
	return mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
}

static uint64_t word_of(unsigned long at)
{
	return at == HOLE ? 0 : at * 0x9e3779b97f4a7c15ULL + 1;
}

static void fill(uint64_t *at)
{
	for (unsigned long i = 0; i < SIZE; i += page)
		if (i != HOLE)
			at[i / 8] = word_of(i);
}

static bool same(const uint64_t *at)
{
	for (unsigned long i = 0; i < SIZE; i += page)
		want(at[i / 8] == word_of(i));
	return true;
}

static int new_session(const char *name)
{
	struct liveupdate_ioctl_create_session args = { .size = sizeof(args) };

	strcpy((char *)args.name, name);
	return ioctl(luo, LIVEUPDATE_IOCTL_CREATE_SESSION, &args) ? -1 : args.fd;
}

static int preserve(int session, int fd)
{
	struct liveupdate_session_preserve_fd args = {
		.size = sizeof(args), .fd = fd, .token = TOKEN,
	};

	return ioctl(session, LIVEUPDATE_SESSION_PRESERVE_FD, &args);
}

static int punch(int fd)
{
	return fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, page);
}

/* All of it is there and stays, as long as the session does. */
static bool test_frozen(void)
{
	int vm = ioctl(kvm, KVM_CREATE_VM, 0), fd = new_shared(vm), session = new_session(NAME);
	uint64_t *at = map(fd);

	want(vm >= 0 && fd >= 0 && session >= 0 && at != MAP_FAILED);
	fill(at);
	want(!preserve(session, fd));
	want(refusal(punch(fd)) == -EPERM);
	want(same(at));
	at[0] = 5;			/* the guest may write */
	close(session);
	want(at[0] == 5);
	want(!punch(fd));
	want(at[0] == 0);
	munmap(at, SIZE);
	return true;
}

static bool test_once(void)
{
	int vm = ioctl(kvm, KVM_CREATE_VM, 0), fd = new_shared(vm);
	int one = new_session(NAME), two = new_session(NAME "-2");

	want(!preserve(one, fd));
	want(refusal(preserve(two, fd)) == -EBUSY);
	close(one);
	want(!preserve(two, fd));
	return true;
}

/* Memory that is not shared with the host cannot be given to the next. */
static bool test_not_private(void)
{
	int vm = ioctl(kvm, KVM_CREATE_VM, 0), fd = new_gmem(vm, GUEST_MEMFD_FLAG_MMAP);

	want(fd >= 0);
	want(refusal(preserve(new_session(NAME), fd)) == -ENOENT);
	return true;
}

/* The session has the file, and the file its VM. */
static bool test_outlives_vm(void)
{
	int vm = ioctl(kvm, KVM_CREATE_VM, 0), fd = new_shared(vm), session = new_session(NAME);
	uint64_t *at = map(fd);

	fill(at);
	want(!set_slot(vm, fd, at));
	want(!preserve(session, fd));
	close(vm);
	close(fd);
	want(same(at));
	close(session);
	want(same(at));
	munmap(at, SIZE);
	return true;
}

static bool test_cycles(void)
{
	int vm = ioctl(kvm, KVM_CREATE_VM, 0), fd = new_shared(vm);
	uint64_t *at = map(fd);

	fill(at);
	for (int i = 0; i < CYCLES; i++) {
		int session = new_session(NAME);

		want(!preserve(session, fd));
		close(session);
	}
	want(same(at));
	munmap(at, SIZE);
	return true;
}

static int hold(void)
{
	int vm = ioctl(kvm, KVM_CREATE_VM, 0), fd = new_shared(vm), session = new_session(NAME);

	fill(map(fd));
	if (preserve(session, fd)) {
		perror("preserve");
		return 1;
	}
	printf("held\n");
	fflush(stdout);
	return pause();
}

static bool retrieved(void)
{
	struct liveupdate_ioctl_retrieve_session s = { .size = sizeof(s), .name = NAME };
	struct liveupdate_session_retrieve_fd f = { .size = sizeof(f), .token = TOKEN };
	struct liveupdate_session_finish end = { .size = sizeof(end) };
	int one = ioctl(kvm, KVM_CREATE_VM, 0), two = ioctl(kvm, KVM_CREATE_VM, 0);
	struct stat stat;
	uint64_t *at;

	want(!ioctl(luo, LIVEUPDATE_IOCTL_RETRIEVE_SESSION, &s));
	want(!ioctl(s.fd, LIVEUPDATE_SESSION_RETRIEVE_FD, &f));
	want(!fstat(f.fd, &stat) && stat.st_size == SIZE);
	at = map(f.fd);
	want(at != MAP_FAILED && same(at));
	want(!ioctl(s.fd, LIVEUPDATE_SESSION_FINISH, &end));
	/* One that is refused, because it asks for more than there is, has claimed nothing. */
	want(refusal(set_slot_from(two, f.fd, at, SIZE)) == -EINVAL);
	want(!set_slot(one, f.fd, at));
	want(refusal(set_slot(two, f.fd, at)) == -EINVAL);
	want(same(at));
	want(!punch(f.fd) && at[0] == 0);
	return true;
}

static const struct {
	const char *name;
	bool (*test)(void);
} tests[] = {
	{ "frozen", test_frozen },
	{ "once", test_once },
	{ "not_private", test_not_private },
	{ "outlives_vm", test_outlives_vm },
	{ "cycles", test_cycles },
};

/* In a process of its own, so that its sessions end with it. */
static bool passes(bool (*test)(void))
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid) {
		bool ok = test();

		fflush(stdout);
		_exit(!ok);
	}
	return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

int main(int argc, char **argv)
{
	const char *verb = argc > 1 ? argv[1] : "";
	bool bad = false;

	page = sysconf(_SC_PAGESIZE);
	kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	luo = open("/dev/liveupdate", O_RDWR | O_CLOEXEC);
	if (!strcmp(verb, "hold"))
		return hold();
	printf("KTAP version 1\n");
	if (kvm < 0 || luo < 0) {
		printf("1..0 # SKIP no %s\n", kvm < 0 ? "/dev/kvm" : "/dev/liveupdate");
		return 4;
	}
	if (!strcmp(verb, "check")) {
		bad = !retrieved();
		printf("1..1\n%s 1 retrieved\n", bad ? "not ok" : "ok");
		return bad;
	}
	printf("1..%zu\n", ARRAY_SIZE(tests));
	for (unsigned int i = 0; i < ARRAY_SIZE(tests); i++) {
		bool ok = passes(tests[i].test);

		printf("%s %u %s\n", ok ? "ok" : "not ok", i + 1, tests[i].name);
		bad |= !ok;
	}
	return bad;
}
