// SPDX-License-Identifier: Apache-2.0
/*
 * PID 1 of an L1, from the initramfs to the end.
 *
 * It loads the modules that came with it, mounts the shared root file system under a tmpfs, puts the
 * run's seed in place, starts sshd and then only reaps. An emulated CPU forks slowly, so it forks once.
 *
 * It says on the console, by /dev/kmsg so that the kernel's own lines cannot tear them:
 *   LAB-INIT userland                           the root file system is in place
 *   LAB-INIT ready boot_id=<uuid> nonce=<hex>   something listens on port 22
 *   LAB-INIT failed: <step>: <error>            and the machine powers off
 *
 * SIGTERM or SIGUSR2 powers the machine off, SIGINT restarts it. `lab.poweroff=1` on the kernel's
 * command line powers it off at "userland": the bench of a bare boot.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <net/route.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NEW_ROOT "/newroot"
#define DISK_PATIENCE_MS 20000
#define SSHD_PATIENCE_MS 120000
#define MS_NOXDEV (MS_NOSUID | MS_NOEXEC | MS_NODEV)

static int kmsg = -1;

static void say(const char *format, ...)
{
	char line[512] = "<3>LAB-INIT "; /* 3: seen under `quiet` too */
	size_t used = strlen(line);
	va_list args;

	va_start(args, format);
	vsnprintf(line + used, sizeof(line) - used - 1, format, args);
	va_end(args);
	strcat(line, "\n"); /* without it the kernel waits for the rest of the line */
	if (kmsg < 0 || write(kmsg, line, strlen(line)) < 0)
		dprintf(STDOUT_FILENO, "\n%s", line + 3);
}

static void __attribute__((noreturn)) power_off(void)
{
	sync();
	reboot(RB_POWER_OFF);
	_exit(1); /* no power switch: the kernel panics, and panic=-1 restarts it */
}

static void __attribute__((noreturn)) fail(const char *step)
{
	say("failed: %s: %s", step, strerror(errno));
	power_off();
}

static void nap_ms(long ms)
{
	nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000 }, NULL);
}

static void make_dir(const char *path, mode_t mode)
{
	if (mkdir(path, mode) && errno != EEXIST)
		fail(path);
}

static void mount_on(const char *what, const char *path, const char *type, unsigned long flags,
		     const char *options)
{
	make_dir(path, 0755);
	if (mount(what, path, type, flags, options))
		fail(path);
}

/* Read a small file, without the newline at its end; false if it is not there. */
static bool read_text(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? -1 : read(fd, text, size - 1);

	if (fd >= 0)
		close(fd);
	text[got < 0 ? 0 : got] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return got >= 0;
}

static void write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		fail(path);
	close(fd);
}

static void copy(const char *from, const char *to, mode_t mode)
{
	char block[8192];
	ssize_t got;
	int in = open(from, O_RDONLY | O_CLOEXEC);

	if (in < 0)
		fail(from);
	int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
	if (out < 0 || fchmod(out, mode))
		fail(to);
	while ((got = read(in, block, sizeof(block))) > 0)
		if (write(out, block, got) != got)
			fail(to);
	if (got < 0)
		fail(from);
	close(in);
	close(out);
}

static void early_mounts(void)
{
	make_dir("/dev", 0755);
	if (mount("dev", "/dev", "devtmpfs", MS_NOSUID, NULL) && errno != EBUSY)
		fail("/dev");
	kmsg = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
	mount_on("proc", "/proc", "proc", MS_NOXDEV, NULL);
	mount_on("sys", "/sys", "sysfs", MS_NOXDEV, NULL);
	mount_on("pts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "gid=5,mode=620,ptmxmode=666");
	mount_on("shm", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, NULL);
	/* Debian's programs expect them; devtmpfs does not make them. */
	symlink("/proc/self/fd", "/dev/fd");
	symlink("/proc/self/fd/0", "/dev/stdin");
	symlink("/proc/self/fd/1", "/dev/stdout");
	symlink("/proc/self/fd/2", "/dev/stderr");
}

/* Whether a word is in a text as a whole, as "svm" in the flags of /proc/cpuinfo. */
static bool has_word(const char *text, const char *word)
{
	size_t size = strlen(word);

	for (const char *at = text; (at = strstr(at, word)); at += size)
		if ((at == text || strchr(" \t\n", at[-1])) && strchr(" \t\n", at[size]))
			return true;
	return false;
}

/* The flags of the first processor. */
static void read_cpu_flags(char *flags, size_t size)
{
	FILE *file = fopen("/proc/cpuinfo", "re");

	flags[0] = '\0';
	while (file && fgets(flags, size, file) && strncmp(flags, "flags", strlen("flags")))
		;
	if (file)
		fclose(file);
}

static void load_module(const char *name)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "/modules/%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) && errno != EEXIST))
		fail(path);
	close(fd);
}

/*
 * A distribution's kernel has its drivers as modules. /modules/order names them in the order in which they are loaded;
 * behind a name may be the processor's flag without which the module is left alone.
 */
static void load_modules(void)
{
	char line[128], flags[4096];
	FILE *order = fopen("/modules/order", "re");

	if (!order)
		return;
	read_cpu_flags(flags, sizeof(flags));
	while (fgets(line, sizeof(line), order)) {
		char *name = strtok(line, " \n"), *flag = strtok(NULL, " \n");

		if (name && (!flag || has_word(flags, flag)))
			load_module(name);
	}
	fclose(order);
}

static void wait_for_disk(const char *disk)
{
	for (int ms = 0; access(disk, F_OK); ms++) {
		if (ms == DISK_PATIENCE_MS)
			fail(disk);
		nap_ms(1);
	}
}

static void mount_root(void)
{
	wait_for_disk("/dev/vda");
	mount_on("tmpfs", "/overlay", "tmpfs", 0, "mode=755");
	make_dir("/overlay/upper", 0755);
	make_dir("/overlay/work", 0755);
	mount_on("/dev/vda", "/overlay/lower", "squashfs", MS_RDONLY, NULL);
	mount_on("root", NEW_ROOT, "overlay", 0,
		 "lowerdir=/overlay/lower,upperdir=/overlay/upper,workdir=/overlay/work");
	mount_on("run", NEW_ROOT "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755");
	make_dir(NEW_ROOT "/run/lab", 0700);
	make_dir(NEW_ROOT "/run/sshd", 0755);
	if (access("/dev/vdb", F_OK) == 0)
		mount_on("/dev/vdb", NEW_ROOT "/lab", "squashfs", MS_RDONLY, NULL);
}

/* What makes this L1 this run's: its keys, its name, and the nonce it has to show. */
static void plant_seed(void)
{
	make_dir(NEW_ROOT "/root/.ssh", 0700);
	copy("/seed/ssh_host_ed25519_key", NEW_ROOT "/etc/ssh/ssh_host_ed25519_key", 0600);
	copy("/seed/authorized_keys", NEW_ROOT "/root/.ssh/authorized_keys", 0600);
	copy("/seed/hostname", NEW_ROOT "/etc/hostname", 0644);
	copy("/seed/nonce", NEW_ROOT "/run/lab/nonce", 0644);
	copy("/seed/run-id", NEW_ROOT "/run/lab/run-id", 0644);
}

static void carry_over(const char *path)
{
	char to[64];

	snprintf(to, sizeof(to), NEW_ROOT "%s", path);
	make_dir(to, 0755);
	if (mount(path, to, NULL, MS_MOVE, NULL))
		fail(to);
}

static void switch_root(void)
{
	carry_over("/dev");
	carry_over("/proc");
	carry_over("/sys");
	if (chdir(NEW_ROOT) || mount(".", "/", NULL, MS_MOVE, NULL) || chroot(".") || chdir("/"))
		fail("switch root");
}

static void late_mounts(void)
{
	mount_on("cgroup", "/sys/fs/cgroup", "cgroup2", MS_NOXDEV, NULL);
	write_text("/sys/fs/cgroup/cgroup.subtree_control", "+cpuset +memory +pids");
	/* A kernel under test may be built without it. */
	if (mount("debugfs", "/sys/kernel/debug", "debugfs", MS_NOXDEV, NULL) && errno != ENOENT)
		fail("/sys/kernel/debug");
}

static void set_up(int fd, const char *name)
{
	struct ifreq link = {};

	strncpy(link.ifr_name, name, sizeof(link.ifr_name) - 1);
	if (ioctl(fd, SIOCGIFFLAGS, &link))
		fail(name);
	link.ifr_flags |= IFF_UP;
	if (ioctl(fd, SIOCSIFFLAGS, &link))
		fail(name);
}

static void put_address(struct sockaddr *where, const char *text)
{
	struct sockaddr_in *address = (struct sockaddr_in *)where;

	address->sin_family = AF_INET;
	if (inet_pton(AF_INET, text, &address->sin_addr) != 1) {
		errno = EINVAL;
		fail("ip=");
	}
}

/*
 * Do what the kernel does about ip=CLIENT:SERVER:GATEWAY:MASK:HOST:DEVICE:off if it has CONFIG_IP_PNP and the device's
 * driver is built in.
 */
static void set_up_network(int fd, const char *cmdline)
{
	char text[128], *rest = text, *field[6];
	struct ifreq link = {};
	struct rtentry route = { .rt_flags = RTF_UP | RTF_GATEWAY };
	const char *at = strstr(cmdline, " ip=");

	if (!at)
		return;
	snprintf(text, sizeof(text), "%.*s", (int)strcspn(at + 4, " "), at + 4);
	for (int i = 0; i < 6; i++)
		if (!(field[i] = strsep(&rest, ":"))) {
			errno = EINVAL;
			fail("ip=");
		}
	strncpy(link.ifr_name, field[5], sizeof(link.ifr_name) - 1);
	if (ioctl(fd, SIOCGIFADDR, &link) == 0)
		return; /* the kernel did it */
	if (errno == ENODEV) { /* a bare boot of the bench has none */
		say("there is no %s, and so no network", field[5]);
		return;
	}
	put_address(&link.ifr_addr, field[0]);
	if (ioctl(fd, SIOCSIFADDR, &link))
		fail(field[5]);
	put_address(&link.ifr_netmask, field[3]);
	if (ioctl(fd, SIOCSIFNETMASK, &link))
		fail(field[5]);
	set_up(fd, field[5]);
	put_address(&route.rt_gateway, field[2]);
	put_address(&route.rt_dst, "0.0.0.0");
	put_address(&route.rt_genmask, "0.0.0.0");
	if (ioctl(fd, SIOCADDRT, &route))
		fail("default route");
}

static void name_and_network(const char *cmdline)
{
	char name[64];
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (!read_text("/etc/hostname", name, sizeof(name)) || sethostname(name, strlen(name)))
		fail("host name");
	if (fd < 0)
		fail("socket");
	set_up(fd, "lo");
	set_up_network(fd, cmdline);
	close(fd);
}

static pid_t start_sshd(void)
{
	static char *const argv[] = { "/usr/sbin/sshd", "-D", "-e", NULL };
	static char *const env[] = { "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", NULL };
	pid_t pid = vfork();

	if (pid < 0)
		fail("fork sshd");
	if (pid)
		return pid;
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setsid();
	int log = open("/run/sshd.log", O_WRONLY | O_CREAT | O_APPEND, 0600);
	int null = open("/dev/null", O_RDONLY);
	if (log >= 0 && null >= 0) {
		dup2(null, STDIN_FILENO);
		dup2(log, STDOUT_FILENO);
		dup2(log, STDERR_FILENO);
		execve(argv[0], argv, env);
	}
	_exit(127);
}

/* True once a socket is in state LISTEN (0A) on port 22 (0016), in the kernel's own table. */
/* passt learns the machine's MAC from what it sends, and addresses it by broadcast, which TCP drops, until then. */
static void be_seen(void)
{
	struct sockaddr_in everybody = {
		.sin_family = AF_INET,
		.sin_port = htons(9), /* discard */
		.sin_addr.s_addr = htonl(INADDR_BROADCAST),
	};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &(int){ 1 }, sizeof(int));
	/* Without a network there is nobody to be seen by, and nothing to complain of. */
	sendto(fd, "", 0, 0, (struct sockaddr *)&everybody, sizeof(everybody));
	close(fd);
}

/* The command line's: a kernel that was entered by kexec has the seed of the one before it. */
static void nonce_of_this_boot(char *nonce, size_t size)
{
	char cmdline[4096];

	read_text("/proc/cmdline", cmdline, sizeof(cmdline));
	char *at = strstr(cmdline, "lab.nonce=");

	if (!at) {
		read_text("/run/lab/nonce", nonce, size);
		return;
	}
	at += strlen("lab.nonce=");
	snprintf(nonce, size, "%.*s", (int)strcspn(at, " "), at);
}

static bool port_22_listens(void)
{
	char line[256];
	bool found = false;
	FILE *table = fopen("/proc/net/tcp", "re");

	if (!table)
		fail("/proc/net/tcp");
	while (!found && fgets(line, sizeof(line), table))
		found = strstr(line, ":0016 00000000:0000 0A") != NULL;
	fclose(table);
	return found;
}

static void say_ready(pid_t sshd)
{
	char boot_id[64], nonce[64], complaint[256];

	for (int ms = 0; !port_22_listens(); ms += 5) {
		if (waitpid(sshd, NULL, WNOHANG) == sshd || ms >= SSHD_PATIENCE_MS) {
			read_text("/run/sshd.log", complaint, sizeof(complaint));
			say("failed: sshd: it does not listen: %s", complaint);
			power_off();
		}
		nap_ms(5);
	}
	be_seen();
	read_text("/proc/sys/kernel/random/boot_id", boot_id, sizeof(boot_id));
	nonce_of_this_boot(nonce, sizeof(nonce));
	say("ready boot_id=%s nonce=%s", boot_id, nonce);
}

/* Reap for ever; restart sshd a second after it dies, whatever killed it. */
static void __attribute__((noreturn)) watch(const sigset_t *signals, pid_t sshd)
{
	for (;;) {
		int signal = sigwaitinfo(signals, NULL);

		if (signal == SIGTERM || signal == SIGUSR2)
			power_off();
		if (signal == SIGINT) {
			sync();
			reboot(RB_AUTOBOOT);
		}
		int status;
		for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
			if (pid != sshd)
				continue;
			say("sshd ended with wait status 0x%x, starting it again", status);
			nap_ms(1000);
			sshd = start_sshd();
		}
	}
}

int main(void)
{
	char cmdline[4096];
	sigset_t signals;

	umask(022);
	sigemptyset(&signals);
	sigaddset(&signals, SIGCHLD);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGUSR2);
	sigaddset(&signals, SIGINT);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	reboot(RB_DISABLE_CAD); /* ctrl-alt-del becomes SIGINT */

	early_mounts();
	load_modules();
	mount_root();
	plant_seed();
	switch_root();
	late_mounts();
	read_text("/proc/cmdline", cmdline, sizeof(cmdline));
	name_and_network(cmdline);
	say("userland");
	if (strstr(cmdline, "lab.poweroff=1"))
		power_off();
	pid_t sshd = start_sshd();
	say_ready(sshd);
	watch(&signals, sshd);
}
