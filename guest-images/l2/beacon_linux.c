// SPDX-License-Identifier: Apache-2.0
/*
 * The beacon as /init of a Linux guest: one thread on each CPU, each with a page of its own, nothing else.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "options.h"

#define WORK_BYTES (4u << 20)
/* What the guest needs beside the pages that it witnesses: a quarter of what is free, and no less than this. */
#define SPARE_BYTES (16ull << 20)
/* All of a stack is there from the beginning, for memory is locked; the usual 8 MiB of each would be missed. */
#define STACK_BYTES (256u << 10)

/* In the architecture's assembly: sleep with a pattern in the FP registers; 1 if it was still there. */
int fp_sleep_until(uint64_t seed, const struct timespec *when);

struct beater {
	pthread_t thread;
	uint32_t index;
	struct beacon beacon;
	struct ram ram;
	struct mutant mutant;
};

static struct options options;
static struct beater *beaters;
static pthread_barrier_t all_beating;
static uint64_t work_faults, work_shootdowns;

/*
 * Lines go to the kernel's log, not to /dev/console: printk polls the port, and needs no serial interrupt, which the
 * smallest VMMs do not have. <1> is shown even under `quiet`. Without the newline the log would hold the line back
 * until another one comes.
 */
static void say(const char *form, ...)
{
	static int log = -1;
	char line[256] = "<1>";
	va_list values;

	va_start(values, form);
	vsnprintf(line + 3, sizeof(line) - 4, form, values);
	va_end(values);
	strcat(line, "\n");
	if (log < 0)
		log = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
	if (log < 0 || write(log, line, strlen(line)) < 0)
		fputs(line + 3, stdout);
}

/* An exit of PID 1 would be a panic, and hide the reason among its lines. */
static void fail(const char *what)
{
	say("BEACON failed: %s: %s", what, strerror(errno));
	for (;;)
		pause();
}

static void write_file(const char *path, const char *text)
{
	int file = open(path, O_WRONLY | O_CLOEXEC);

	if (file < 0 || write(file, text, strlen(text)) < 0)
		fail(path);
	close(file);
}

static void read_file(const char *path, char *text, size_t size)
{
	int file = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got = file < 0 ? -1 : read(file, text, size - 1);

	if (got < 0)
		fail(path);
	text[got] = '\0';
	close(file);
}

/*
 * The initramfs has no folders of its own. Already mounted (EBUSY) is well: the kernel mounts
 * devtmpfs itself if it is configured to.
 */
static void mount_one(const char *kind, const char *at)
{
	if (mkdir(at, 0755) && errno != EEXIST)
		fail(at);
	if (mount(kind, at, kind, 0, NULL) && errno != EBUSY)
		fail(at);
}

/* The log takes ten lines in five seconds from one program unless it is told otherwise. */
static void mount_all(void)
{
	mount_one("devtmpfs", "/dev");
	mount_one("proc", "/proc");
	mount_one("sysfs", "/sys");
	write_file("/proc/sys/kernel/printk_devkmsg", "on\n");
}

static void read_options(void)
{
	char line[4096];
	const char *wrong;

	read_file("/proc/cmdline", line, sizeof(line));
	wrong = options_parse(line, &options);
	if (wrong) {
		errno = EINVAL;
		fail(wrong);
	}
}

static void read_boot_id(uint8_t id[16])
{
	char text[64], *to = text;
	const char *at = text;

	read_file("/proc/sys/kernel/random/boot_id", text, sizeof(text));
	for (const char *from = text; *from; from++) {
		if (*from != '-')
			*to++ = *from;
	}
	*to = '\0';
	errno = EINVAL;
	if (!word_take_hex(&at, id, 16))
		fail("boot_id");
}

/*
 * Shared, so that a fork makes no page copy-on-write and moves it from under the witness; populated and locked, so
 * that no page fault comes later.
 */
static struct beacon_page *make_pages(uint32_t count)
{
	size_t size = count * sizeof(struct beacon_page);
	void *pages = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE | MAP_LOCKED, -1, 0);

	if (pages == MAP_FAILED || mlock(pages, size))
		fail("mmap");
	return pages;
}

/* pagemap: 55 bits of frame number, bit 63 says that it is there. */
static uint64_t guest_physical(const void *page)
{
	uint64_t entry = 0;
	int map = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

	if (map < 0 || pread(map, &entry, 8, (off_t)((uintptr_t)page / 4096 * 8)) != 8)
		fail("/proc/self/pagemap");
	close(map);
	errno = ENOENT;
	if (!(entry >> 63) || !(entry & ((1ull << 55) - 1)))
		fail("the beacon's page in /proc/self/pagemap");
	return (entry & ((1ull << 55) - 1)) * 4096;
}

static void say_page(const struct beacon_page *page)
{
	char boot[33];

	for (int i = 0; i < 16; i++)
		snprintf(boot + 2 * i, 3, "%02x", page->header.boot_id[i]);
	say("BEACON vcpu=%u gpa=0x%llx boot=%s", page->header.vcpu, (unsigned long long)guest_physical(page), boot);
}

/* The clock that clock_nanosleep() can sleep by; nobody slews it here, so RAW would differ in nothing. */
static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

/* In real time class, so that load in the guest is not taken for a silence of its vCPU. */
static void bind(uint32_t cpu)
{
	struct sched_param first = { .sched_priority = 50 };
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	errno = pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
	if (errno || sched_setscheduler(0, SCHED_FIFO, &first))
		fail("a beacon's place on its CPU");
}

static void beat(struct beater *me, int fp_good)
{
	uint64_t now = now_ns();

	me->beacon.last.faults += !fp_good;
	if (me->index == 0) {
		me->beacon.last.faults += __atomic_exchange_n(&work_faults, 0, __ATOMIC_RELAXED);
		me->beacon.last.irqs = __atomic_load_n(&work_shootdowns, __ATOMIC_RELAXED);
	}
	mutant_beat(&me->mutant, &me->beacon, now);
}

/*
 * By the thread that beats, before it sleeps: no other is known to run on this CPU, and none must be kept from it for
 * long.
 */
static void witness_ram(struct beater *me)
{
	uint64_t began = now_ns(), now = began;

	for (uint64_t done = 0; ram_may_go_on(&me->ram, done, began, now); done++) {
		ram_step(&me->ram, now);
		now = now_ns();
	}
	ram_show(&me->ram, &me->beacon);
}

/* One period after the last, so that beats do not drift; a missed one is not made up for. */
static void *beat_for_ever(void *arg)
{
	struct beater *me = arg;
	uint64_t period = options.id.period_ns, next;

	bind(me->index);
	beat(me, 1);
	pthread_barrier_wait(&all_beating);
	next = now_ns();
	for (;;) {
		struct timespec when;
		uint64_t now = now_ns();

		next = next + period > now ? next + period : now + period;
		when.tv_sec = (time_t)(next / 1000000000ull);
		when.tv_nsec = (long)(next % 1000000000ull);
		beat(me, fp_sleep_until(next, &when));
		witness_ram(me);
	}
	return NULL;
}

static struct sysinfo memory(void)
{
	struct sysinfo found;

	if (sysinfo(&found))
		fail("sysinfo");
	return found;
}

/*
 * All but what the guest needs: a page that is freed is the one that comes next, so only who has them all gets round.
 * Shared, so that a fork copies none; not populated, so that a guest does not start the later for it.
 */
static void *make_region(uint64_t *size)
{
	struct sysinfo found = memory();
	uint64_t free = (uint64_t)found.freeram * found.mem_unit;
	uint64_t spare = free / 4 > SPARE_BYTES ? free / 4 : SPARE_BYTES;
	void *region;

	*size = options.ram && free > spare ? (free - spare) / RAM_PAGE * RAM_PAGE : 0;
	if (!*size)
		return NULL;
	region = mmap(NULL, *size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (region == MAP_FAILED)
		fail("mmap of the RAM to be witnessed");
	return region;
}

static int start_thread(pthread_t *thread, void *(*run)(void *), void *arg)
{
	pthread_attr_t small;
	int wrong = pthread_attr_init(&small);

	if (!wrong)
		wrong = pthread_attr_setstacksize(&small, STACK_BYTES);
	if (!wrong)
		wrong = pthread_create(thread, &small, run, arg);
	return wrong;
}

/* Of each vCPU its part of one region. */
static void open_ram(uint32_t count)
{
	struct sysinfo found = memory();
	uint64_t all = (uint64_t)found.totalram * found.mem_unit, size;
	void *region = make_region(&size);

	for (uint32_t i = 0; i < count; i++) {
		ram_open(&beaters[i].ram, &options.id, i, region, size / RAM_PAGE, all * options.ram / 100 / RAM_PAGE);
		ram_show(&beaters[i].ram, &beaters[i].beacon);
	}
}

static void start(uint32_t count)
{
	struct beacon_page *pages = make_pages(2 * count); /* of each vCPU one, and one that only mutants use */

	beaters = calloc(count, sizeof(*beaters));
	if (!beaters || mlockall(MCL_CURRENT))
		fail("memory that stays");
	pthread_barrier_init(&all_beating, NULL, count + 1);
	for (uint32_t i = 0; i < count; i++) {
		beaters[i].index = i;
		beacon_open(&beaters[i].beacon, &pages[i], &options.id, i);
		mutant_open(&beaters[i].mutant, &options.mutation, i, &beaters[i].ram, &pages[count + i]);
		say_page(&pages[i]);
	}
	open_ram(count);
	if (mlockall(MCL_FUTURE))
		fail("memory that stays");
	for (uint32_t i = 0; i < count; i++) {
		errno = start_thread(&beaters[i].thread, beat_for_ever, &beaters[i]);
		if (errno)
			fail("pthread_create");
	}
	pthread_barrier_wait(&all_beating);
	say("BEACON beating n=%u", count);
}

static int fill_and_check(uint8_t *bytes, uint8_t pattern)
{
	memset(bytes, pattern, WORK_BYTES);
	for (size_t i = 0; i < WORK_BYTES; i += 64) {
		if (bytes[i] != pattern)
			return 1;
	}
	return 0;
}

/* How many IPIs had a vCPU drop translations; on arm64 there are none, for its TLBI reaches all by itself. */
static uint64_t shootdowns(void)
{
	char text[8192], *at;
	uint64_t sum = 0;

	read_file("/proc/interrupts", text, sizeof(text));
	at = strstr(text, " TLB:");
	if (!at)
		return 0;
	at += 5;
	for (char *end;; at = end) {
		uint64_t of_one = strtoull(at, &end, 10);

		if (end == at)
			return sum;
		sum += of_one;
	}
}

/*
 * Load: page faults, copies on write, new and dying processes. What it finds wrong counts as a fault of vCPU 0, whose
 * page says how many shootdowns there were, too.
 */
static void work_for_ever(void)
{
	uint8_t *bytes = malloc(WORK_BYTES);

	if (!bytes)
		fail("memory to work with");
	for (uint8_t round = 0;; round++) {
		int status = 0;
		pid_t child = fork();

		if (child < 0)
			fail("fork");
		if (!child)
			_exit(fill_and_check(bytes, (uint8_t)~round));
		if (fill_and_check(bytes, round) || waitpid(child, &status, 0) != child || status)
			__atomic_fetch_add(&work_faults, 1, __ATOMIC_RELAXED);
		__atomic_store_n(&work_shootdowns, shootdowns(), __ATOMIC_RELAXED);
	}
}

/*
 * Lines that say how many there were before: what the VMM loses or repeats is seen. They go through the terminal, which
 * needs the port's interrupt.
 */
static void *chat_for_ever(void *arg)
{
	struct timespec pause = { (time_t)(options.chat_ms / 1000), (long)(options.chat_ms % 1000) * 1000000 };
	FILE *console = fopen("/dev/console", "we");

	(void)arg;
	if (!console)
		fail("/dev/console");
	for (uint64_t count = 0;; count++) {
		fprintf(console, "CHAT %llu\n", (unsigned long long)count);
		fflush(console);
		nanosleep(&pause, NULL);
	}
	return NULL;
}

static void start_chat(void)
{
	pthread_t thread;

	errno = start_thread(&thread, chat_for_ever, NULL);
	if (errno)
		fail("pthread_create");
}

int main(void)
{
	long cpus;

	mount_all();
	read_options();
	read_boot_id(options.id.boot_id);
	cpus = sysconf(_SC_NPROCESSORS_ONLN);
	if (cpus < 1)
		fail("the number of CPUs");
	options.id.nvcpus = (uint32_t)cpus;
	start((uint32_t)cpus);
	if (options.chat_ms)
		start_chat();
	if (options.work)
		work_for_ever();
	for (;;)
		pause();
}
