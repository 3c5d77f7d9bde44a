// SPDX-License-Identifier: GPL-2.0-only
/*
 * Guests that survive their VMM, see Documentation/virt/kvm/async-run.rst.
 *
 * Needs nothing but the uapi headers:
 *	gcc -O2 -static -pthread -I<usr/include> async_run_test.c -o async_run_test
 * Says what it found as KTAP.  May be run as init of an otherwise empty system.
 *
 * In the environment, or on the kernel's command line: only=<part of a name>, or
 * several with commas between them; soak=<n>, for that many cycles and lives
 * instead of a few; repeat=<n>, for all of it n times.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <linux/falloc.h>
#include <linux/kvm.h>
#include <linux/kvm_async.h>
#include <linux/userfaultfd.h>

#ifndef GUEST_MEMFD_FLAG_MMAP
#define GUEST_MEMFD_FLAG_MMAP		(1ULL << 0)
#endif
#ifndef GUEST_MEMFD_FLAG_INIT_SHARED
#define GUEST_MEMFD_FLAG_INIT_SHARED	(1ULL << 1)
#endif

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

#define MEM_SIZE	0x200000
#define CODE		0x1000	/* where the payload is */
#define WORDS		0x8000	/* what it says: see the payloads */
#define MAX_VCPUS	4
#define PROTECTED	0x100	/* with a policy: a VM whose memory the host cannot read */
#define AVX		0x200	/* with a policy: in protected mode, with AVX switched on */

/* Words that payloads share with us; 64 bits each, a page for each vCPU. */
enum { W_COUNT, W_WRONG, W_GAVE };

/*
 * Payloads.  Each starts with its vCPU's words in di (x86) or x1 (arm64).
 */
#ifdef __x86_64__
#define IO_PORT 0x4c
asm(".pushsection .rodata\n.code16\n"
"pay_loop: incl (%di)\n jmp pay_loop\npay_loop_end:\n"
/* Say a number to the port, get an answer, store it; count. */
"pay_io: movl (%di), %eax\n outl %eax, $0x4c\n inl $0x4c, %eax\n"
" movl %eax, 16(%di)\n incl (%di)\n jmp pay_io\npay_io_end:\n"
/* An exit that the kernel serves: PIC mask. */
"pay_kernel: inb $0x21, %al\n incl (%di)\n jmp pay_kernel\npay_kernel_end:\n"
/*
 * Sleep until the PIT's interrupt, count it; vector 8 is at 0x20.  Each 10 ms: a
 * host that is away for a while has to catch up with each of them, and if that
 * takes longer than a period it does nothing else any more.
 */
"pay_hlt: cli\n movb $0x11,%al\n outb %al,$0x20\n movb $8,%al\n outb %al,$0x21\n"
" movb $4,%al\n outb %al,$0x21\n movb $1,%al\n outb %al,$0x21\n movb $0xfe,%al\n"
" outb %al,$0x21\n movb $0x34,%al\n outb %al,$0x43\n movb $0x9c,%al\n outb %al,$0x40\n"
" movb $0x2e,%al\n outb %al,$0x40\n"
" movl $0x00001100, 0x20\n"
"1: sti\n hlt\n jmp 1b\n"
" .org pay_hlt + 0x100\n"
" incl (%di)\n movb $0x20,%al\n outb %al,$0x20\n iret\npay_hlt_end:\n"
/* Fill xmm0-7 and see that they stay; count rounds, and wrong ones. */
"pay_fpu: movl %cr4,%eax\n orl $0x600,%eax\n movl %eax,%cr4\n"
" movl %cr0,%eax\n andl $~4,%eax\n orl $2,%eax\n movl %eax,%cr0\n"
" movl $0x5a5a1234,%eax\n movd %eax,%xmm0\n movl $0x1badf00d,%eax\n movd %eax,%xmm7\n"
"1: movl $20000,%ecx\n2: decl %ecx\n jnz 2b\n"
" movd %xmm0,%eax\n cmpl $0x5a5a1234,%eax\n jne 3f\n"
" movd %xmm7,%eax\n cmpl $0x1badf00d,%eax\n jne 3f\n incl (%di)\n jmp 1b\n"
"3: incl 8(%di)\n jmp pay_fpu\npay_fpu_end:\n"
/*
 * The same for all of ymm0-7, as 32-bit code, for QEMU has no AVX in 16-bit
 * segments: a pattern at 0x100, what is found at 0x200.
 */
".code32\n"
"pay_avx: leal 0x100(%edi),%esi\n movl $0x5a5a1234,%eax\n movl $64,%ecx\n"
"1: movl %eax,(%esi)\n addl $0x01030507,%eax\n addl $4,%esi\n loop 1b\n"
" vmovups 0x100(%edi),%ymm0\n vmovups 0x120(%edi),%ymm1\n"
" vmovups 0x140(%edi),%ymm2\n vmovups 0x160(%edi),%ymm3\n"
" vmovups 0x180(%edi),%ymm4\n vmovups 0x1a0(%edi),%ymm5\n"
" vmovups 0x1c0(%edi),%ymm6\n vmovups 0x1e0(%edi),%ymm7\n"
"2: movl $20000,%ecx\n3: decl %ecx\n jnz 3b\n"
" vmovups %ymm0,0x200(%edi)\n vmovups %ymm1,0x220(%edi)\n"
" vmovups %ymm2,0x240(%edi)\n vmovups %ymm3,0x260(%edi)\n"
" vmovups %ymm4,0x280(%edi)\n vmovups %ymm5,0x2a0(%edi)\n"
" vmovups %ymm6,0x2c0(%edi)\n vmovups %ymm7,0x2e0(%edi)\n"
" movl %edi,%ebx\n leal 0x100(%ebx),%esi\n leal 0x200(%ebx),%edi\n"
" movl $64,%ecx\n cld\n repe cmpsl\n movl %ebx,%edi\n jne 4f\n"
" incl (%edi)\n jmp 2b\n"
"4: incl 8(%edi)\n jmp pay_avx\npay_avx_end:\n"
".code64\n.popsection\n");
#elif defined(__aarch64__)
#define IO_ADDR 0x9000000ULL
asm(".pushsection .rodata\n"
"pay_loop: ldr x2,[x1]\n add x2,x2,#1\n str x2,[x1]\n b pay_loop\npay_loop_end:\n"
"pay_io: mov x3,#0x9000000\n1: ldr x2,[x1]\n str w2,[x3]\n ldr w4,[x3]\n"
" str w4,[x1,#16]\n add x2,x2,#1\n str x2,[x1]\n b 1b\npay_io_end:\n"
/* An exit that the kernel serves: PSCI_VERSION. */
"pay_kernel: mov x5,x1\n1: movz x0,#0x8400,lsl #16\n hvc #0\n ldr x2,[x5]\n"
" add x2,x2,#1\n str x2,[x5]\n b 1b\npay_kernel_end:\n"
/*
 * Sleep until the timer has fired, count it.  Its interrupt, 27, must be enabled
 * for that, in the distributor, the redistributor and the CPU's interface; it is
 * never taken, though, but acknowledged and ended by hand.
 */
"pay_hlt: mov x6,#0x8000000\n mov w7,#0x12\n str w7,[x6]\n"
" movz x6,#0x80b,lsl #16\n mov w7,#-1\n str w7,[x6,#0x80]\n"
" mov w7,#(1<<27)\n str w7,[x6,#0x100]\n"
" mov x7,#7\n msr s3_0_c12_c12_5,x7\n isb\n"
" mov x7,#0xff\n msr s3_0_c4_c6_0,x7\n mov x7,#1\n msr s3_0_c12_c12_7,x7\n isb\n"
" mrs x6,cntfrq_el0\n lsr x6,x6,#8\n"
"1: msr cntv_tval_el0,x6\n msr cntv_ctl_el0,x7\n isb\n"
" mrs x8,s3_0_c12_c12_0\n msr s3_0_c12_c12_1,x8\n isb\n"
"2: wfi\n mrs x8,cntv_ctl_el0\n tbz x8,#2,2b\n"
" ldr x2,[x1]\n add x2,x2,#1\n str x2,[x1]\n b 1b\npay_hlt_end:\n"
"pay_fpu: mov x6,#(3<<20)\n msr cpacr_el1,x6\n isb\n mov x6,#0x1234\n movk x6,#0x5a5a,lsl #16\n"
" fmov d0,x6\n fmov d7,x6\n1: mov x7,#20000\n2: subs x7,x7,#1\n b.ne 2b\n"
" fmov x8,d0\n cmp x8,x6\n b.ne 3f\n fmov x8,d7\n cmp x8,x6\n b.ne 3f\n"
" ldr x2,[x1]\n add x2,x2,#1\n str x2,[x1]\n b 1b\n"
"3: ldr x2,[x1,#8]\n add x2,x2,#1\n str x2,[x1,#8]\n b pay_fpu\npay_fpu_end:\n"
".popsection\n");
#else
#error "no payloads for this architecture"
#endif

/* Hidden: of two labels in one section, the global offset table has but one. */
#define PAYLOAD(name)							\
	extern __attribute__((visibility("hidden"))) const char		\
		pay_##name[], pay_##name##_end[]
PAYLOAD(loop); PAYLOAD(io); PAYLOAD(kernel); PAYLOAD(hlt); PAYLOAD(fpu);
#ifdef __x86_64__
PAYLOAD(avx);
#endif
#define pay(name) pay_##name, (size_t)(pay_##name##_end - pay_##name)

struct vm {
	int vm, mem_fd, nr, gic, vcpu[MAX_VCPUS];
	bool protected;			/* then mem_fd is -1, and mem is its VMM's only */
	bool avx;
	volatile char *mem;
	struct kvm_run *run[MAX_VCPUS];
	size_t run_size;
	pid_t vmm;
};

static int kvm_fd;
static int soak;		/* how many cycles and lives, if not the usual */

/*
 * KTAP.
 */
static int test_nr, failed;
static char why[256];
static const char *skip_reason;

#define CHECK(what, ...) do {						\
	if (!(what)) {							\
		snprintf(why, sizeof(why), "line %d: %s: errno %d",	\
			 __LINE__, #what, errno);			\
		return false;						\
	}								\
} while (0)

#define CHECK_FAILS(call, with) do {					\
	errno = 0;							\
	long r_ = (call);						\
	if (r_ >= 0 || errno != (with)) {				\
		snprintf(why, sizeof(why), "line %d: %s: %ld, errno %d, not %s", \
			 __LINE__, #call, r_, errno, #with);		\
		return false;						\
	}								\
} while (0)

static void say(const char *format, ...)
{
	va_list args;

	printf("# ");
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
	fflush(stdout);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static void sleep_ms(unsigned int ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000l };

	while (nanosleep(&t, &t) && errno == EINTR)
		;
}

/*
 * VMs.
 */
static volatile uint64_t *word(struct vm *v, int vcpu, int which)
{
	return (volatile uint64_t *)(v->mem + WORDS + vcpu * 0x1000) + which;
}

static uint64_t count(struct vm *v, int vcpu)
{
	return *(volatile uint32_t *)word(v, vcpu, W_COUNT);
}

#ifdef __x86_64__
/* Show a vCPU what the host has. There is no AVX in real mode. */
static bool switch_on_avx(int vcpu, struct kvm_sregs *s)
{
	static struct kvm_cpuid2 *cpuid;
	struct kvm_xcrs xcrs = { .nr_xcrs = 1, .xcrs = { { .value = 7 } } };

	if (!cpuid)
		cpuid = calloc(1, sizeof(*cpuid) + 256 * sizeof(cpuid->entries[0]));
	cpuid->nent = 256;
	s->cs.db = 1;
	s->cr0 = 0x33;				/* PE, MP, ET, NE */
	s->cr4 = 0x40600;			/* OSFXSR, OSXMMEXCPT, OSXSAVE */
	return !ioctl(kvm_fd, KVM_GET_SUPPORTED_CPUID, cpuid) &&
	       !ioctl(vcpu, KVM_SET_CPUID2, cpuid) && !ioctl(vcpu, KVM_SET_XCRS, &xcrs);
}
#endif

static bool set_up_vcpu(struct vm *v, int i)
{
#ifdef __x86_64__
	struct kvm_mp_state running = { KVM_MP_STATE_RUNNABLE };
	struct kvm_sregs s;
	struct kvm_regs r = { .rip = CODE, .rflags = 2, .rsp = 0x7000 - i * 0x400,
			      .rdi = WORDS + i * 0x1000 };

	if (ioctl(v->vcpu[i], KVM_GET_SREGS, &s))
		return false;
	s.cs.base = 0;
	s.cs.selector = 0;
	s.ds.base = s.es.base = s.ss.base = 0;
	s.idt.base = 0;
	s.idt.limit = 0x3ff;
	if (v->avx && !switch_on_avx(v->vcpu[i], &s))
		return false;
	ioctl(v->vcpu[i], KVM_SET_MP_STATE, &running);
	return !ioctl(v->vcpu[i], KVM_SET_SREGS, &s) &&
	       !ioctl(v->vcpu[i], KVM_SET_REGS, &r);
#else
	struct kvm_vcpu_init init;
	uint64_t pc = CODE, x1 = WORDS + i * 0x1000;
	struct kvm_one_reg reg = {
		.id = KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE |
		      KVM_REG_ARM_CORE_REG(regs.pc), .addr = (uintptr_t)&pc };

	if (ioctl(v->vm, KVM_ARM_PREFERRED_TARGET, &init))
		return false;
	init.features[0] |= 1 << KVM_ARM_VCPU_PSCI_0_2;
	if (ioctl(v->vcpu[i], KVM_ARM_VCPU_INIT, &init) ||
	    ioctl(v->vcpu[i], KVM_SET_ONE_REG, &reg))
		return false;
	reg.id = KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE |
		 KVM_REG_ARM_CORE_REG(regs.regs[1]);
	reg.addr = (uintptr_t)&x1;
	return !ioctl(v->vcpu[i], KVM_SET_ONE_REG, &reg);
#endif
}

static int enable(int vm, uint64_t policy)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_ORPHAN, .args = { policy } };

	return ioctl(vm, KVM_ENABLE_CAP, &cap);
}

static bool add_private_memory(struct vm *v)
{
	struct kvm_userspace_memory_region slot = { .memory_size = MEM_SIZE };

	v->mem_fd = -1;
	v->mem = mmap(NULL, MEM_SIZE, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	slot.userspace_addr = (uintptr_t)v->mem;
	return v->mem != MAP_FAILED && !ioctl(v->vm, KVM_SET_USER_MEMORY_REGION, &slot);
}

static bool add_memory(struct vm *v)
{
	struct kvm_create_guest_memfd gmem = { .size = MEM_SIZE,
		.flags = GUEST_MEMFD_FLAG_MMAP | GUEST_MEMFD_FLAG_INIT_SHARED };
	struct kvm_userspace_memory_region2 slot = { .memory_size = MEM_SIZE,
		.flags = KVM_MEM_GUEST_MEMFD };

	v->mem_fd = ioctl(v->vm, KVM_CREATE_GUEST_MEMFD, &gmem);
	if (v->mem_fd < 0)
		return false;
	slot.guest_memfd = v->mem_fd;
	v->mem = mmap(NULL, MEM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, v->mem_fd, 0);
	if (v->mem == MAP_FAILED)
		return false;
	slot.userspace_addr = (uintptr_t)v->mem;
	return !ioctl(v->vm, KVM_SET_USER_MEMORY_REGION2, &slot);
}

static bool map_runs(struct vm *v)
{
	for (int i = 0; i < v->nr; i++) {
		v->run[i] = mmap(NULL, v->run_size, PROT_READ | PROT_WRITE,
				 MAP_SHARED, v->vcpu[i], 0);
		if (v->run[i] == MAP_FAILED)
			return false;
	}
	return true;
}

/* An interrupt controller that the kernel emulates, where that comes first. */
static bool add_irqchip(struct vm *v)
{
#ifdef __x86_64__
	struct kvm_pit_config pit = { 0 };

	return !ioctl(v->vm, KVM_CREATE_IRQCHIP, 0) && !ioctl(v->vm, KVM_CREATE_PIT2, &pit);
#else
	struct kvm_create_device gic = { .type = KVM_DEV_TYPE_ARM_VGIC_V3 };
	uint64_t dist = 0x8000000, redist = 0x80a0000;
	struct kvm_device_attr attr = { .group = KVM_DEV_ARM_VGIC_GRP_ADDR,
		.attr = KVM_VGIC_V3_ADDR_TYPE_DIST, .addr = (uintptr_t)&dist };

	if (ioctl(v->vm, KVM_CREATE_DEVICE, &gic))
		return false;
	v->gic = gic.fd;
	if (ioctl(gic.fd, KVM_SET_DEVICE_ATTR, &attr))
		return false;
	attr.attr = KVM_VGIC_V3_ADDR_TYPE_REDIST;
	attr.addr = (uintptr_t)&redist;
	return !ioctl(gic.fd, KVM_SET_DEVICE_ATTR, &attr);
#endif
}

static bool start_irqchip(struct vm *v)
{
#ifdef __aarch64__
	struct kvm_device_attr attr = { .group = KVM_DEV_ARM_VGIC_GRP_CTRL,
		.attr = KVM_DEV_ARM_VGIC_CTRL_INIT };
	int r = ioctl(v->gic, KVM_SET_DEVICE_ATTR, &attr);

	close(v->gic);
	return !r;
#else
	return true;
#endif
}

/* policy < 0: a plain VM */
static bool create_vm(struct vm *v, int policy, int nr, const char *code, size_t size)
{
	memset(v, 0, sizeof(*v));
	v->nr = nr;
	v->protected = policy >= 0 && policy & PROTECTED;
	v->avx = policy >= 0 && policy & AVX;
	v->vm = ioctl(kvm_fd, KVM_CREATE_VM, v->protected ? 1ul << 31 : 0);
	CHECK(v->vm >= 0);
	if (policy >= 0)
		CHECK(!enable(v->vm, policy & ~(PROTECTED | AVX)));
	CHECK(v->protected ? add_private_memory(v) : add_memory(v));
	CHECK(size);
	memcpy((char *)v->mem + CODE, code, size);
	v->run_size = ioctl(kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	CHECK(add_irqchip(v));
	for (int i = 0; i < nr; i++) {
		v->vcpu[i] = ioctl(v->vm, KVM_CREATE_VCPU, i);
		CHECK(v->vcpu[i] >= 0);
		CHECK(set_up_vcpu(v, i));
	}
	CHECK(start_irqchip(v));
	CHECK(map_runs(v));
	return true;
}

static void close_vm(struct vm *v)
{
	for (int i = 0; i < v->nr; i++) {
		if (v->run[i])
			munmap(v->run[i], v->run_size);
		close(v->vcpu[i]);
	}
	if (v->mem)
		munmap((void *)v->mem, MEM_SIZE);
	if (!v->protected)
		close(v->mem_fd);
	close(v->vm);
}

static int run_async(struct vm *v, int vcpu)
{
	struct kvm_run_async args = { 0 };

	return ioctl(v->vcpu[vcpu], KVM_RUN_ASYNC, &args);
}

static bool run_all(struct vm *v)
{
	for (int i = 0; i < v->nr; i++)
		CHECK(!run_async(v, i));
	return true;
}

static struct kvm_async_state state_of(struct vm *v, int vcpu)
{
	struct kvm_async_state s = { .state = ~0u };

	if (ioctl(v->vcpu[vcpu], KVM_ASYNC_STATE, &s))
		s.state = ~0u;
	return s;
}

static struct kvm_orphan_state owner_of(struct vm *v)
{
	struct kvm_orphan_state s = { .state = ~0u };

	if (ioctl(v->vm, KVM_ORPHAN_STATE, &s))
		s.state = ~0u;
	return s;
}

static int adopt(struct vm *v)
{
	struct kvm_adopt args = { 0 };

	return ioctl(v->vm, KVM_ADOPT, &args);
}

static bool wait_stopped(struct vm *v, int vcpu, int ms)
{
	struct pollfd p = { v->vcpu[vcpu], POLLIN };

	return poll(&p, 1, ms) == 1 && p.revents & POLLIN;
}

/* Is the guest's counter going on? */
static bool goes_on(struct vm *v, int vcpu)
{
	uint64_t then = count(v, vcpu);

	for (int i = 0; i < 300; i++) {
		sleep_ms(10);
		if (count(v, vcpu) != then)
			return true;
	}
	return false;
}

static bool stands_still(struct vm *v, int vcpu)
{
	uint64_t then = count(v, vcpu);

	sleep_ms(300);
	return count(v, vcpu) == then;
}

/*
 * A VMM in a process of its own; we are the keeper, and get its descriptors.
 */
static bool send_fds(int to, struct vm *v)
{
	int fds[2 + MAX_VCPUS] = { v->vm, v->protected ? v->vm : v->mem_fd };
	char control[CMSG_SPACE(sizeof(fds))] = { 0 };
	struct iovec io = { v, sizeof(*v) };
	struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1, .msg_control = control,
			    .msg_controllen = sizeof(control) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	for (int i = 0; i < MAX_VCPUS; i++)
		fds[2 + i] = i < v->nr ? v->vcpu[i] : v->vcpu[0];
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(fds));
	memcpy(CMSG_DATA(c), fds, sizeof(fds));
	return sendmsg(to, &m, 0) == sizeof(*v);
}

static bool take_fds(int from, struct vm *v)
{
	int fds[2 + MAX_VCPUS];
	char control[CMSG_SPACE(sizeof(fds))];
	struct iovec io = { v, sizeof(*v) };
	struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1, .msg_control = control,
			    .msg_controllen = sizeof(control) };

	CHECK(recvmsg(from, &m, 0) == sizeof(*v) && CMSG_FIRSTHDR(&m));
	memcpy(fds, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(fds));
	v->vm = fds[0];
	v->mem_fd = fds[1];
	for (int i = 0; i < MAX_VCPUS; i++) {
		if (i < v->nr)
			v->vcpu[i] = fds[2 + i];
		else
			close(fds[2 + i]);
	}
	if (v->protected) {
		close(v->mem_fd);
		v->mem = NULL;
		return map_runs(v);
	}
	v->mem = mmap(NULL, MEM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, v->mem_fd, 0);
	CHECK(v->mem != MAP_FAILED);
	return map_runs(v);
}

static bool start_vmm(struct vm *v, int policy, int nr, const char *code, size_t size)
{
	int pair[2];
	pid_t vmm;
	bool got;

	CHECK(!socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair));
	vmm = fork();
	if (!vmm) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (!create_vm(v, policy, nr, code, size) || !run_all(v))
			say("vmm: %s", why);
		else
			send_fds(pair[1], v);
		for (;;)
			pause();
	}
	close(pair[1]);
	struct pollfd p = { pair[0], POLLIN };

	got = poll(&p, 1, 10000) == 1 && take_fds(pair[0], v);
	close(pair[0]);
	v->vmm = vmm;
	CHECK(got);
	return true;
}

/* The mm of a process that has exited may still have to go: that makes the orphan. */
static bool owner_goes(struct vm *v)
{
	for (int i = 0; i < 500 && owner_of(v).state != KVM_OWNER_GONE; i++)
		sleep_ms(2);
	CHECK(owner_of(v).state == KVM_OWNER_GONE);
	return true;
}

static bool kill_vmm(struct vm *v)
{
	kill(v->vmm, SIGKILL);
	CHECK(waitpid(v->vmm, NULL, 0) == v->vmm);
	return owner_goes(v);
}

/* Count the threads that run vCPUs; @pid is one of them, if there is any. */
static int find_threads(int *pid)
{
	char path[300], name[32];
	struct dirent *entry;
	DIR *proc = opendir("/proc");
	int n = 0;

	*pid = 0;
	while (proc && (entry = readdir(proc))) {
		snprintf(path, sizeof(path), "/proc/%s/comm", entry->d_name);
		int fd = open(path, O_RDONLY);
		ssize_t got = fd < 0 ? 0 : read(fd, name, sizeof(name) - 1);

		if (fd >= 0)
			close(fd);
		if (got > 0 && !strncmp(name, "kvm-vcpu/", 9)) {
			*pid = atoi(entry->d_name);
			n++;
		}
	}
	if (proc)
		closedir(proc);
	return n;
}

static int threads(void)
{
	int pid;

	return find_threads(&pid);
}

static int thread_pid(void)
{
	int pid;

	find_threads(&pid);
	return pid;
}

static bool threads_gone(void)
{
	for (int i = 0; i < 500; i++) {
		if (!threads())
			return true;
		sleep_ms(10);
	}
	return false;
}

/* Serve an exit of the io payload as vCPU @i; the device's state is *@state. */
static bool serve(struct vm *v, int i, uint32_t *state, bool *was_write)
{
#ifdef __x86_64__
	struct kvm_run *run = v->run[i];
	uint32_t *data = (void *)((char *)run + run->io.data_offset);

	CHECK(run->exit_reason == KVM_EXIT_IO && run->io.port == IO_PORT);
	*was_write = run->io.direction == KVM_EXIT_IO_OUT;
#else
	struct kvm_run *run = v->run[i];
	uint32_t *data = (void *)run->mmio.data;

	CHECK(run->exit_reason == KVM_EXIT_MMIO && run->mmio.phys_addr == IO_ADDR);
	*was_write = run->mmio.is_write;
#endif
	if (*was_write)
		*state = *data;
	else
		*data = *state ^ 0xffffffff;
	return true;
}

/*
 * Tests.
 */
static bool test_stock_eio(void)
{
	struct vm v;
	int status;

	CHECK(create_vm(&v, -1, 1, pay(loop)));
	CHECK_FAILS(run_async(&v, 0), EINVAL);
	CHECK_FAILS(adopt(&v), EINVAL);
	if (!fork()) {
		struct kvm_mp_state mp;
		bool ok = ioctl(v.vcpu[0], KVM_RUN, 0) < 0 && errno == EIO &&
			  ioctl(v.vcpu[0], KVM_GET_MP_STATE, &mp) < 0 && errno == EIO &&
			  run_async(&v, 0) < 0 && errno == EIO &&
			  adopt(&v) < 0 && errno == EIO;
		_exit(!ok);
	}
	wait(&status);
	CHECK(!status);
	close_vm(&v);
	return true;
}

static bool test_enable(void)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_ORPHAN };
	struct kvm_userspace_memory_region plain = { .memory_size = 0x1000 };
	struct kvm_run_async args = { .flags = 1 };
	struct vm v;
	int vm;

	CHECK(ioctl(kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_ORPHAN) == 7);
	vm = ioctl(kvm_fd, KVM_CREATE_VM, 0);
	cap.args[0] = 3;
	CHECK_FAILS(ioctl(vm, KVM_ENABLE_CAP, &cap), EINVAL);
	cap.args[0] = 0;
	cap.args[1] = 1;
	CHECK_FAILS(ioctl(vm, KVM_ENABLE_CAP, &cap), EINVAL);
	CHECK(!enable(vm, KVM_ORPHAN_PARK));
	CHECK_FAILS(enable(vm, KVM_ORPHAN_PARK), EBUSY);
	plain.userspace_addr = (uintptr_t)mmap(NULL, 0x1000, PROT_READ | PROT_WRITE,
					       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK_FAILS(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &plain), EINVAL);
	close(vm);

	vm = ioctl(kvm_fd, KVM_CREATE_VM, 0);
	CHECK(!ioctl(vm, KVM_SET_USER_MEMORY_REGION, &plain));
	CHECK_FAILS(enable(vm, 0), EBUSY);
	close(vm);

	CHECK(create_vm(&v, KVM_ORPHAN_RUN, 1, pay(loop)));
	CHECK_FAILS(enable(v.vm, 0), EBUSY);
	CHECK_FAILS(ioctl(v.vcpu[0], KVM_RUN_ASYNC, &args), EINVAL);
	CHECK(owner_of(&v).state == KVM_OWNER_PRESENT && owner_of(&v).policy == 0);
	CHECK_FAILS(adopt(&v), EBUSY);
	CHECK(state_of(&v, 0).state == KVM_ASYNC_PAUSED);
	close_vm(&v);
	return true;
}

static bool test_busy_and_park(void)
{
	struct kvm_async_page *page;
	struct kvm_mp_state mp;
	struct vm v;

	CHECK(create_vm(&v, KVM_ORPHAN_RUN, 1, pay(loop)));
	page = (void *)((char *)v.run[0] + KVM_ASYNC_PAGE_OFFSET);
	for (int i = 0; i < 20; i++) {
		CHECK(wait_stopped(&v, 0, 0));
		CHECK(!run_async(&v, 0));
		CHECK(goes_on(&v, 0));
		CHECK(!wait_stopped(&v, 0, 0));
		CHECK(page->state == KVM_ASYNC_RUNNING);
		CHECK(state_of(&v, 0).state == KVM_ASYNC_RUNNING && !state_of(&v, 0).pc);
		CHECK_FAILS(run_async(&v, 0), EBUSY);
		CHECK_FAILS(ioctl(v.vcpu[0], KVM_GET_MP_STATE, &mp), EBUSY);
		CHECK_FAILS(ioctl(v.vcpu[0], KVM_RUN, 0), EBUSY);
		CHECK(!ioctl(v.vcpu[0], KVM_ASYNC_PARK, 0));
		CHECK(state_of(&v, 0).state == KVM_ASYNC_PAUSED);
		CHECK(state_of(&v, 0).exit_reason == KVM_EXIT_INTR);
		CHECK(state_of(&v, 0).pc >= CODE && state_of(&v, 0).pc < CODE + 0x100);
		CHECK(page->state == KVM_ASYNC_PAUSED && !page->exit_seq);
		CHECK(stands_still(&v, 0) || i > 1);
		CHECK(!ioctl(v.vcpu[0], KVM_ASYNC_PARK, 0));
	}
	close_vm(&v);
	CHECK(threads_gone());
	return true;
}

static bool survive(int nr, const char *code, size_t size)
{
	struct kvm_mp_state mp;
	struct vm v;

	CHECK(start_vmm(&v, KVM_ORPHAN_RUN, nr, code, size));
	CHECK(goes_on(&v, 0));
	CHECK_FAILS(ioctl(v.vcpu[0], KVM_ASYNC_PARK, 0), EIO);
	CHECK_FAILS(adopt(&v), EBUSY);
	CHECK(kill_vmm(&v));
	for (int i = 0; i < nr; i++)
		CHECK(goes_on(&v, i));
	CHECK_FAILS(run_async(&v, 0), EIO);
	CHECK_FAILS(ioctl(v.vcpu[0], KVM_GET_MP_STATE, &mp), EIO);
	CHECK(!ioctl(v.vcpu[0], KVM_ASYNC_PARK, 0));
	CHECK(stands_still(&v, 0));
	CHECK(!adopt(&v));
	CHECK(owner_of(&v).generation == 1);
	CHECK(!run_async(&v, 0));
	for (int i = 0; i < nr; i++)
		CHECK(goes_on(&v, i));
	close_vm(&v);
	CHECK(threads_gone());
	return true;
}

static bool test_survive_loop(void)	{ return survive(1, pay(loop)); }
static bool test_survive_smp(void)	{ return survive(2, pay(loop)); }
static bool test_survive_hlt(void)	{ return survive(1, pay(hlt)); }
static bool test_survive_kernel(void)	{ return survive(1, pay(kernel)); }

/* An exit waits for an adopter, a second one if the first does not serve it. */
static bool test_orphan_exit(void)
{
	uint32_t device = 0, counted;
	uint64_t seq;
	bool write;
	struct vm v;
	int status;

	CHECK(start_vmm(&v, KVM_ORPHAN_RUN, 1, pay(io)));
	CHECK(wait_stopped(&v, 0, 5000));
	CHECK(kill_vmm(&v));
	seq = state_of(&v, 0).exit_seq;
	CHECK(seq == 1);
	if (!fork())
		_exit(adopt(&v) ? 1 : 0);	/* adopts, does not serve, goes */
	wait(&status);
	CHECK(!status);
	CHECK(owner_goes(&v));
	CHECK(!adopt(&v));
	CHECK(owner_of(&v).generation == 2);
	for (int i = 0; i < 10; i++) {
		CHECK(state_of(&v, 0).exit_seq == seq + i);
		counted = count(&v, 0);
		CHECK(serve(&v, 0, &device, &write));
		CHECK(write == !(i & 1) && (!write || device == counted));
		CHECK(!run_async(&v, 0));
		CHECK(wait_stopped(&v, 0, 5000));
	}
	CHECK(count(&v, 0) == 5);
	CHECK((uint32_t)*word(&v, 0, W_GAVE) == (4 ^ 0xffffffff));
	close_vm(&v);
	CHECK(threads_gone());
	return true;
}

/* However an exit came about, it is counted; and nothing else is. */
static bool test_exit_seq(void)
{
	struct kvm_async_page *page;
	uint32_t device = 0;
	bool write;
	struct vm v;

	CHECK(create_vm(&v, KVM_ORPHAN_RUN, 1, pay(io)));
	page = (void *)((char *)v.run[0] + KVM_ASYNC_PAGE_OFFSET);
	CHECK(!run_async(&v, 0));
	CHECK(wait_stopped(&v, 0, 5000));
	CHECK(page->exit_seq == 1);
	CHECK(serve(&v, 0, &device, &write));
	CHECK(!ioctl(v.vcpu[0], KVM_RUN, 0));
	CHECK(page->exit_seq == 2 && state_of(&v, 0).exit_seq == 2);
	CHECK(serve(&v, 0, &device, &write) && !write);
	/* What only completes the last exit is none. */
	v.run[0]->immediate_exit = 1;
	CHECK_FAILS(ioctl(v.vcpu[0], KVM_RUN, 0), EINTR);
	CHECK(page->exit_seq == 2 && state_of(&v, 0).exit_seq == 2);
	v.run[0]->immediate_exit = 0;
	CHECK(!run_async(&v, 0));
	CHECK(wait_stopped(&v, 0, 5000));
	CHECK(page->exit_seq == 3 && state_of(&v, 0).exit_seq == 3);
	close_vm(&v);

	/* An exit that comes with an error. */
	CHECK(create_vm(&v, KVM_ORPHAN_RUN, 1, pay(loop)));
	page = (void *)((char *)v.run[0] + KVM_ASYNC_PAGE_OFFSET);
	munmap((void *)v.mem, MEM_SIZE);
	v.mem = NULL;
	close(v.mem_fd);
	CHECK(!run_async(&v, 0));
	CHECK(wait_stopped(&v, 0, 5000));
	CHECK(state_of(&v, 0).exit_reason == KVM_EXIT_MEMORY_FAULT);
	CHECK(state_of(&v, 0).state == KVM_ASYNC_FAILED && state_of(&v, 0).error == -EFAULT);
	CHECK(page->exit_seq == 1 && state_of(&v, 0).exit_seq == 1);
	v.mem_fd = -1;
	close_vm(&v);
	CHECK(threads_gone());
	return true;
}

/* VMMs are killed at any moment; each serves exits, by a journal. */
struct journal { uint64_t served, seq; uint32_t device; uint32_t served_writes; };

static void serve_with_journal(struct vm *v, struct journal *j)
{
	struct kvm_async_page *page = (void *)((char *)v->run[0] + KVM_ASYNC_PAGE_OFFSET);
	bool write;

	for (;;) {
		struct kvm_async_state s = state_of(v, 0);

		if (s.state != KVM_ASYNC_RUNNING && s.exit_seq == page->exit_seq &&
		    s.exit_seq != j->seq) {
			if (!serve(v, 0, &j->device, &write))
				_exit(3);
			if (write)
				j->served_writes = j->device + 1;
			j->seq = s.exit_seq;	/* from here on it is not served again */
		}
		if (s.state != KVM_ASYNC_RUNNING && run_async(v, 0) && errno != EBUSY)
			_exit(4);
		wait_stopped(v, 0, 1000);
	}
}

static bool test_cycles(void)
{
	struct journal *j = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint64_t worst = 0, start;
	struct vm v;
	int i, cycles = soak ?: 100;

	CHECK(start_vmm(&v, KVM_ORPHAN_RUN, 1, pay(io)));
	CHECK(kill_vmm(&v));
	for (i = 0; i < cycles; i++) {
		uint64_t before = count(&v, 0);
		pid_t vmm = fork();
		int status;

		if (!vmm) {
			while (adopt(&v))
				if (errno != EBUSY)
					_exit(2);
			if (!map_runs(&v))
				_exit(2);
			serve_with_journal(&v, j);
		}
		start = now_ns();
		while (count(&v, 0) == before && now_ns() - start < 10000000000ull)
			sleep_ms(1);
		if (now_ns() - start > worst)
			worst = now_ns() - start;
		usleep(rand() % 5000);
		kill(vmm, SIGKILL);
		waitpid(vmm, &status, 0);
		CHECK(WIFSIGNALED(status));
		CHECK(count(&v, 0) != before);
	}
	CHECK(!ioctl(v.vcpu[0], KVM_ASYNC_PARK, 0));
	say("%d cycles, %u writes served, guest counted %u, slowest adoption to progress %u us",
	    cycles, j->served_writes, (unsigned int)count(&v, 0), (unsigned int)(worst / 1000));
	CHECK(j->served_writes == count(&v, 0) || j->served_writes == count(&v, 0) + 1);
	close_vm(&v);
	CHECK(threads_gone());
	return true;
}

static bool test_rights(void)
{
	struct kvm_adopt stale = { .flags = KVM_ADOPT_GENERATION, .generation = 7 };
	struct kvm_adopt bad = { .flags = 2 };
	struct vm v;
	int status, winners = 0;

	CHECK(start_vmm(&v, KVM_ORPHAN_RUN, 1, pay(loop)));
	CHECK(kill_vmm(&v));
	if (!fork()) {
		bool ok = !setuid(65534) && adopt(&v) < 0 && errno == EPERM &&
			  ioctl(v.vcpu[0], KVM_ASYNC_PARK, 0) < 0 && errno == EIO &&
			  state_of(&v, 0).state == KVM_ASYNC_RUNNING;
		_exit(!ok);
	}
	wait(&status);
	CHECK(!status);
	/* Root of a new user namespace has no rights over the VM's owner. */
	if (!fork()) {
		bool ok = !setuid(65534) && !unshare(CLONE_NEWUSER) &&
			  adopt(&v) < 0 && errno == EPERM;
		_exit(!ok);
	}
	wait(&status);
	CHECK(!status);
	CHECK_FAILS(ioctl(v.vm, KVM_ADOPT, &stale), ESTALE);
	CHECK_FAILS(ioctl(v.vm, KVM_ADOPT, &bad), EINVAL);

	for (int round = 0; round < 20; round++) {
		int go[2];
		pid_t pid[4];

		winners = 0;
		CHECK(!pipe(go));
		for (int i = 0; i < 4; i++) {
			pid[i] = fork();
			if (!pid[i]) {
				char c;
				bool won;

				if (read(go[0], &c, 1) != 1)
					_exit(9);
				won = !adopt(&v);
				sleep_ms(won ? 50 : 0);
				_exit(won ? 1 : errno == EBUSY ? 0 : 9);
			}
		}
		if (write(go[1], "four", 4) != 4)
			return false;
		for (int i = 0; i < 4; i++) {
			waitpid(pid[i], &status, 0);
			CHECK(WIFEXITED(status) && WEXITSTATUS(status) < 2);
			winners += WEXITSTATUS(status);
		}
		close(go[0]), close(go[1]);
		CHECK(winners == 1);
	}
	CHECK(owner_goes(&v));
	CHECK(!adopt(&v));
	CHECK_FAILS(adopt(&v), EBUSY);
	close_vm(&v);
	CHECK(threads_gone());
	return true;
}

/* @user dies as the owner, of what it had made, or has adopted, as root. */
static bool owned_by(struct vm *v, uid_t user, bool run)
{
	int status;

	if (!fork())
		_exit(adopt(v) || (user && setuid(user)) || (run && run_async(v, 0)));
	wait(&status);
	CHECK(!status);
	return owner_goes(v);
}

static int adopt_as(struct vm *v, uid_t user)
{
	int status;

	if (!fork()) {
		if (setuid(user))
			_exit(99);
		_exit(adopt(v) ? errno : 0);
	}
	wait(&status);
	return WEXITSTATUS(status);
}

/* The right to adopt is the last owner's, with what it was when it ran the guest. */
static bool test_rights_follow(void)
{
	struct vm v;

	CHECK(start_vmm(&v, KVM_ORPHAN_PARK, 1, pay(loop)));
	CHECK(kill_vmm(&v) && wait_stopped(&v, 0, 2000));
	CHECK(adopt_as(&v, 65534) == EPERM);
	CHECK(owned_by(&v, 65534, true) && wait_stopped(&v, 0, 2000));
	CHECK(adopt_as(&v, 65533) == EPERM);
	CHECK(adopt_as(&v, 65534) == 0);
	CHECK(owner_goes(&v));
	/* Once it was root's, it is none of the former owner's any more. */
	CHECK(owned_by(&v, 0, false));
	CHECK(adopt_as(&v, 65534) == EPERM);
	CHECK(!adopt(&v));
	close_vm(&v);
	CHECK(threads_gone());
	return true;
}

static bool test_release(void)
{
	struct vm v;
	int status;

	CHECK(create_vm(&v, KVM_ORPHAN_RUN, 1, pay(loop)));
	CHECK(run_all(&v));
	CHECK(goes_on(&v, 0));
	CHECK(!ioctl(v.vm, KVM_ORPHAN_RELEASE, 0));
	CHECK(owner_of(&v).state == KVM_OWNER_RELEASED);
	CHECK_FAILS(run_async(&v, 0), EIO);
	CHECK_FAILS(ioctl(v.vm, KVM_ORPHAN_RELEASE, 0), EIO);
	CHECK(goes_on(&v, 0));
	if (!fork()) {
		bool ok = !adopt(&v) && !ioctl(v.vcpu[0], KVM_ASYNC_PARK, 0) &&
			  !run_async(&v, 0) && goes_on(&v, 0);
		_exit(!ok);
	}
	wait(&status);
	CHECK(!status);
	CHECK(goes_on(&v, 0));
	CHECK(owner_goes(&v));
	CHECK(!adopt(&v) && owner_of(&v).generation == 2);
	close_vm(&v);
	CHECK(threads_gone());
	return true;
}

/* An ioctl of a thread that is not the one which gives the VM up. */
struct deed { struct vm *v; unsigned long request; void *arg; int r, error; volatile bool over; };

static void *do_deed(void *arg)
{
	struct deed *d = arg;

	d->r = ioctl(d->v->vcpu[0], d->request, d->arg);
	d->error = errno;
	d->over = true;
	return NULL;
}

static bool is_over(struct deed *d)
{
	for (int i = 0; i < 200 && !d->over; i++)
		sleep_ms(10);
	return d->over;
}

/* The next owner has it alone: the last one's KVM_RUN has come to its end. */
static bool test_release_ends_runs(void)
{
	struct vm v;
	struct deed run = { .v = &v, .request = KVM_RUN };
	pthread_t thread;
	int status;

	CHECK(create_vm(&v, KVM_ORPHAN_RUN, 1, pay(loop)));
	CHECK(!pthread_create(&thread, NULL, do_deed, &run));
	CHECK(goes_on(&v, 0));
	CHECK(!ioctl(v.vm, KVM_ORPHAN_RELEASE, 0));
	CHECK(is_over(&run) && run.r == -1 && run.error == EINTR);
	CHECK(stands_still(&v, 0));
	if (!fork()) {
		bool ok = !adopt(&v) && !run_async(&v, 0) && goes_on(&v, 0) &&
			  !ioctl(v.vcpu[0], KVM_ASYNC_PARK, 0) && stands_still(&v, 0);
		_exit(!ok);
	}
	wait(&status);
	CHECK(!status);
	pthread_join(thread, NULL);
	close_vm(&v);
	CHECK(threads_gone());
	return true;
}

/* A page that is not there until fill_late() says so; where the kernel can do that. */
static void *late_page(int *uffd)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register range = { .range.len = 4096, .mode = UFFDIO_REGISTER_MODE_MISSING };
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	*uffd = syscall(SYS_userfaultfd, O_CLOEXEC);
	range.range.start = (uintptr_t)page;
	if (*uffd < 0 || ioctl(*uffd, UFFDIO_API, &api) || ioctl(*uffd, UFFDIO_REGISTER, &range))
		return NULL;
	return page;
}

static int fill_late(int uffd, void *page, void *with)
{
	struct uffdio_copy copy = { .dst = (uintptr_t)page, .src = (uintptr_t)with, .len = 4096 };

	return ioctl(uffd, UFFDIO_COPY, &copy);
}

/* What was asked before the VM is given up does not come true after. */
static bool test_release_waits(void)
{
	static char with[4096] __attribute__((aligned(4096)));
	struct vm v;
	struct deed late = { .v = &v, .request = KVM_SET_MP_STATE };
	pthread_t thread;
	int uffd;

	late.arg = late_page(&uffd);
	if (!late.arg) {
		skip_reason = "this kernel has no userfaultfd";
		return true;
	}
	CHECK(create_vm(&v, KVM_ORPHAN_RUN, 1, pay(loop)));
	CHECK(!pthread_create(&thread, NULL, do_deed, &late));
	sleep_ms(100);
	CHECK(!late.over);
	CHECK_FAILS(ioctl(v.vm, KVM_ORPHAN_RELEASE, 0), ETIMEDOUT);
	CHECK(owner_of(&v).state == KVM_OWNER_PRESENT);
	CHECK(!fill_late(uffd, late.arg, with));
	CHECK(is_over(&late) && !late.r);
	CHECK(!run_async(&v, 0) && goes_on(&v, 0));
	CHECK(!ioctl(v.vm, KVM_ORPHAN_RELEASE, 0));
	CHECK_FAILS(ioctl(v.vcpu[0], KVM_SET_MP_STATE, late.arg), EIO);
	pthread_join(thread, NULL);
	close_vm(&v);
	CHECK(threads_gone());
	return true;
}

static sigjmp_buf at_fault;

static void on_fault(int signal)
{
	siglongjmp(at_fault, signal);
}

/* The signal with which a look at *@at, and a change of it, is answered; or 0. */
static int touch(volatile void *at)
{
	struct sigaction fault = { .sa_handler = on_fault }, bus, segv;
	int signal;

	sigaction(SIGBUS, &fault, &bus);
	sigaction(SIGSEGV, &fault, &segv);
	signal = sigsetjmp(at_fault, 1);
	if (!signal)
		*(volatile uint8_t *)at += 0;
	sigaction(SIGBUS, &bus, NULL);
	sigaction(SIGSEGV, &segv, NULL);
	return signal;
}

/* The pages that a VMM goes by are its own, as long as it is the owner. */
static bool test_mapping(void)
{
	struct kvm_async_page *page;
	struct vm v;
	struct iovec io;
	int status, ends[2];

	CHECK(start_vmm(&v, KVM_ORPHAN_RUN, 1, pay(io)));
	CHECK(wait_stopped(&v, 0, 5000));
	CHECK(touch(v.run[0]) == SIGBUS);
	CHECK(kill_vmm(&v));
	CHECK(touch(v.run[0]) == SIGBUS);
	CHECK(!adopt(&v));
	CHECK(!touch(v.run[0]));
	page = (void *)((char *)v.run[0] + KVM_ASYNC_PAGE_OFFSET);
	CHECK(page->exit_seq == 1);
	/* Nobody can keep a reference to a page. */
	io = (struct iovec){ v.run[0], 8 };
	CHECK(!pipe(ends));
	CHECK_FAILS(vmsplice(ends[1], &io, 1, 0), EFAULT);
	/* A child is not the owner, either. */
	if (!fork())
		_exit(touch(v.run[0]) != SIGSEGV);
	wait(&status);
	CHECK(!status);
	CHECK(mmap(NULL, v.run_size, PROT_READ, MAP_PRIVATE, v.vcpu[0], 0) == MAP_FAILED);
	CHECK(!ioctl(v.vm, KVM_ORPHAN_RELEASE, 0));
	CHECK(touch(v.run[0]) == SIGBUS);
	if (!fork())
		_exit(adopt(&v) || !map_runs(&v) || touch(v.run[0]));
	wait(&status);
	CHECK(!status);
	CHECK(owner_goes(&v));
	CHECK(touch(v.run[0]) == SIGBUS);
	CHECK(!adopt(&v) && !touch(v.run[0]) && page->exit_seq == 1);
	close_vm(&v);
	CHECK(threads_gone());
	return true;
}

static bool test_policies(void)
{
	struct vm v;

	CHECK(start_vmm(&v, KVM_ORPHAN_PARK, 2, pay(loop)));
	CHECK(goes_on(&v, 0) && goes_on(&v, 1));
	CHECK(kill_vmm(&v));
	CHECK(wait_stopped(&v, 0, 2000) && wait_stopped(&v, 1, 2000));
	CHECK(state_of(&v, 0).state == KVM_ASYNC_PAUSED);
	CHECK(state_of(&v, 0).exit_reason == KVM_EXIT_INTR);
	CHECK(stands_still(&v, 0));
	CHECK(!adopt(&v) && run_all(&v));
	CHECK(goes_on(&v, 0) && goes_on(&v, 1));
	close_vm(&v);

	CHECK(start_vmm(&v, KVM_ORPHAN_KILL, 2, pay(loop)));
	CHECK(goes_on(&v, 0) && goes_on(&v, 1));
	CHECK(kill_vmm(&v));
	CHECK(threads_gone());
	CHECK(state_of(&v, 0).state == KVM_ASYNC_STOPPED);
	CHECK(state_of(&v, 1).state == KVM_ASYNC_STOPPED);
	CHECK_FAILS(adopt(&v), EIO);
	CHECK(stands_still(&v, 0));
	close_vm(&v);
	return true;
}

static bool write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return ok;
}

/* Where the kernel has it, make races wide; see CONFIG_KVM_ASYNC_MUTANT. */
static void widen_races(const char *us)
{
	if (write_file("/sys/module/kvm/parameters/async_race_us", us) && strcmp(us, "0"))
		say("races are %s us wide", us);
}

static int linger(void *arg)
{
	prctl(PR_SET_PDEATHSIG, 0);
	while (pause())
		;
	return 0;
}

/* The owner has gone when it was killed, whoever has a part in its mm yet. */
static bool test_shared_mm(void)
{
	static char stack[16384] __attribute__((aligned(16)));
	pid_t *other = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int pair[2], status;
	struct vm v;

	CHECK(other != MAP_FAILED && !socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair));
	v.vmm = fork();
	if (!v.vmm) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (!create_vm(&v, KVM_ORPHAN_PARK, 1, pay(loop)) || !run_all(&v))
			_exit(1);
		*other = clone(linger, stack + sizeof(stack), CLONE_VM | SIGCHLD, NULL);
		if (*other < 0 || !send_fds(pair[1], &v))
			_exit(1);
		for (;;)
			pause();
	}
	close(pair[1]);
	pid_t vmm = v.vmm;

	CHECK(take_fds(pair[0], &v));
	close(pair[0]);
	CHECK(goes_on(&v, 0));
	CHECK(owner_of(&v).state == KVM_OWNER_PRESENT);
	kill(vmm, SIGKILL);
	CHECK(waitpid(vmm, &status, 0) == vmm);
	CHECK(owner_of(&v).state == KVM_OWNER_GONE);
	CHECK(wait_stopped(&v, 0, 2000));
	CHECK(!kill(*other, 0));
	CHECK(!adopt(&v) && !run_async(&v, 0) && goes_on(&v, 0));
	/* The end of that mm is nothing to the new owner. */
	CHECK(!kill(*other, SIGKILL));
	sleep_ms(100);
	CHECK(owner_of(&v).state == KVM_OWNER_PRESENT && goes_on(&v, 0));
	close_vm(&v);
	CHECK(threads_gone());
	return true;
}

/* It has gone when it begins to dump core, and not only when that is written. */
static bool test_core_dump(void)
{
	static const char *pattern = "/proc/sys/kernel/core_pattern";
	char was[200] = "", self[100] = "", slow[160];
	int fd = open(pattern, O_RDONLY), status;
	struct vm v;
	bool ok;

	skip_reason = fd < 0 || read(fd, was, sizeof(was) - 1) < 0 ||
		      readlink("/proc/self/exe", self, sizeof(self) - 1) < 0 ?
		      "no core pattern" : NULL;
	if (skip_reason)
		return true;
	close(fd);
	snprintf(slow, sizeof(slow), "|%s slow_core", self);
	CHECK(start_vmm(&v, KVM_ORPHAN_RUN, 1, pay(loop)));
	CHECK(write_file(pattern, slow));
	kill(v.vmm, SIGSEGV);
	sleep_ms(300);
	ok = !waitpid(v.vmm, &status, WNOHANG) && owner_of(&v).state == KVM_OWNER_GONE &&
	     !adopt(&v) && !waitpid(v.vmm, &status, WNOHANG);
	write_file(pattern, *was ? was : "\n");
	CHECK(ok);
	CHECK(!ioctl(v.vcpu[0], KVM_ASYNC_PARK, 0) && !run_async(&v, 0) && goes_on(&v, 0));
	CHECK(waitpid(v.vmm, &status, 0) == v.vmm && WCOREDUMP(status));
	CHECK(owner_of(&v).state == KVM_OWNER_PRESENT && goes_on(&v, 0));
	close_vm(&v);
	CHECK(threads_gone());
	return true;
}

/* Whom a VM is to die with, nobody can adopt: not at the first moment either. */
static bool dies_before_it_is_adopted(void)
{
	pid_t pid[2];
	struct vm v;
	int status;

	CHECK(start_vmm(&v, KVM_ORPHAN_KILL, 2, pay(loop)));
	for (int i = 0; i < 2; i++) {
		pid[i] = fork();
		if (!pid[i]) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			while (adopt(&v) && errno == EBUSY)
				;
			_exit(errno != EIO);
		}
	}
	usleep(rand() % 5000);
	kill(v.vmm, SIGKILL);
	CHECK(waitpid(v.vmm, NULL, 0) == v.vmm);
	for (int i = 0; i < 2; i++)
		CHECK(waitpid(pid[i], &status, 0) == pid[i] && !status);
	close_vm(&v);
	CHECK(threads_gone());
	return true;
}

static bool test_policy_first(void)
{
	bool ok = true;

	widen_races("2000");
	for (int i = 0; ok && i < (soak ?: 30); i++)
		ok = dies_before_it_is_adopted();
	widen_races("0");
	return ok;
}

/* The vCPU's file, or a mapping of it, is what keeps the thread. */
static bool test_fd_by_fd(void)
{
	struct vm v;

	CHECK(start_vmm(&v, KVM_ORPHAN_RUN, 1, pay(loop)));
	CHECK(kill_vmm(&v));
	close(v.vm);
	CHECK(goes_on(&v, 0));
	close(v.mem_fd);
	CHECK(goes_on(&v, 0));
	close(v.vcpu[0]);
	CHECK(goes_on(&v, 0));
	munmap(v.run[0], v.run_size);
	CHECK(threads_gone());
	CHECK(stands_still(&v, 0));
	munmap((void *)v.mem, MEM_SIZE);
	return true;
}

/* All that holds an orphan goes at once, while its vCPUs run. */
static bool abandoned_life(int nr, const char *code, size_t size)
{
	int status;
	pid_t keeper = fork();

	if (!keeper) {
		struct vm v;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (!start_vmm(&v, KVM_ORPHAN_RUN, nr, code, size) || !kill_vmm(&v) ||
		    !goes_on(&v, 0)) {
			say("keeper: %s", why);
			_exit(1);
		}
		kill(getpid(), SIGKILL);
	}
	CHECK(waitpid(keeper, &status, 0) == keeper && WIFSIGNALED(status));
	CHECK(threads_gone());
	return true;
}

static bool test_abandoned(void)
{
	int lives = soak ?: 20;

	for (int i = 0; i < lives; i++) {
		CHECK(abandoned_life(2, pay(loop)));
		CHECK(abandoned_life(1, pay(hlt)));
		CHECK(abandoned_life(1, pay(kernel)));
	}
	return true;
}

/* Its only holder goes, and is its owner: at any moment, and with any policy. */
static bool alone_life(int policy, const char *code, size_t size)
{
	int status, ready[2];
	pid_t vmm;
	char c;

	CHECK(!pipe(ready));
	vmm = fork();
	if (!vmm) {
		struct vm v;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (!create_vm(&v, policy, 2, code, size) || !run_all(&v)) {
			say("vmm: %s", why);
			_exit(1);
		}
		if (write(ready[1], "r", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(ready[1]);
	CHECK(read(ready[0], &c, 1) == 1);
	close(ready[0]);
	usleep(rand() % 20000);
	kill(vmm, SIGKILL);
	CHECK(waitpid(vmm, &status, 0) == vmm && WIFSIGNALED(status));
	CHECK(threads_gone());
	return true;
}

/* The VMM goes, and its keeper with it: which of the two first, nobody knows. */
static bool together_life(int policy, const char *code, size_t size)
{
	int status, ready[2];
	pid_t keeper, vmm;

	CHECK(!pipe(ready));
	keeper = fork();
	if (!keeper) {
		struct vm v;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (!start_vmm(&v, policy, 2, code, size) ||
		    write(ready[1], &v.vmm, sizeof(v.vmm)) != sizeof(v.vmm)) {
			say("keeper: %s", why);
			_exit(1);
		}
		for (;;)
			pause();
	}
	close(ready[1]);
	CHECK(read(ready[0], &vmm, sizeof(vmm)) == sizeof(vmm));
	close(ready[0]);
	usleep(rand() % 20000);
	kill(vmm, SIGKILL);
	kill(keeper, SIGKILL);
	CHECK(waitpid(keeper, &status, 0) == keeper && WIFSIGNALED(status));
	CHECK(threads_gone());
	return true;
}

static bool lives(bool (*life)(int policy, const char *code, size_t size))
{
	for (int i = 0; i < (soak ?: 20); i++) {
		for (int policy = KVM_ORPHAN_RUN; policy <= KVM_ORPHAN_KILL; policy++) {
			CHECK(life(policy, pay(loop)));
			CHECK(life(policy, pay(hlt)));
			CHECK(life(policy, pay(io)));
		}
	}
	return true;
}

static bool test_alone(void)	{ return lives(alone_life); }
static bool test_together(void)	{ return lives(together_life); }

/* A guest with a timer is adopted, and its VMM killed, over and over. */
static bool test_ticker_cycles(void)
{
	int status, cycles = soak ?: 100;
	struct vm v;

	CHECK(start_vmm(&v, KVM_ORPHAN_RUN, 2, pay(hlt)));
	CHECK(kill_vmm(&v));
	for (int i = 0; i < cycles; i++) {
		pid_t vmm = fork();

		if (!vmm) {
			if (adopt(&v))
				_exit(2);
			if (i & 1 && (ioctl(v.vcpu[0], KVM_ASYNC_PARK, 0) || run_async(&v, 0)))
				_exit(3);
			for (;;)
				pause();
		}
		usleep(rand() % 20000);
		kill(vmm, SIGKILL);
		CHECK(waitpid(vmm, &status, 0) == vmm && WIFSIGNALED(status));
		for (int wait = 0; owner_of(&v).state == KVM_OWNER_PRESENT; wait++) {
			CHECK(wait < 500);
			sleep_ms(2);
		}
	}
	/* One that was killed between the two has left it parked. */
	CHECK(!adopt(&v));
	if (state_of(&v, 0).state == KVM_ASYNC_PAUSED)
		CHECK(!run_async(&v, 0));
	CHECK(goes_on(&v, 0));
	close_vm(&v);
	CHECK(threads_gone());
	return true;
}

static bool test_signals(void)
{
	struct vm v;
	int pid;

	CHECK(start_vmm(&v, KVM_ORPHAN_RUN, 1, pay(loop)));
	CHECK(kill_vmm(&v));
	pid = thread_pid();
	CHECK(pid > 0);
	kill(pid, SIGSTOP);
	kill(pid, SIGTERM);
	CHECK(goes_on(&v, 0));
	kill(pid, SIGKILL);
	CHECK(wait_stopped(&v, 0, 2000));
	CHECK(threads_gone());
	CHECK(state_of(&v, 0).state == KVM_ASYNC_PAUSED);
	CHECK(state_of(&v, 0).exit_reason == KVM_EXIT_INTR);
	CHECK(!adopt(&v) && !run_async(&v, 0));
	CHECK(goes_on(&v, 0));
	close_vm(&v);
	CHECK(threads_gone());
	return true;
}

/* A mask for KVM_RUN is not one for the thread, which cannot take a signal. */
static bool test_signal_mask(void)
{
	uint32_t mask[3] = { 8 };	/* struct kvm_signal_mask, of no signals */
	struct vm v;
	int pid;

	CHECK(create_vm(&v, KVM_ORPHAN_RUN, 1, pay(loop)));
	CHECK(!ioctl(v.vcpu[0], KVM_SET_SIGNAL_MASK, mask));
	CHECK(run_all(&v));
	CHECK(goes_on(&v, 0));
	pid = thread_pid();
	CHECK(pid > 0 && !kill(pid, SIGTERM));
	sleep_ms(50);
	CHECK(goes_on(&v, 0));
	CHECK(!ioctl(v.vcpu[0], KVM_ASYNC_PARK, 0));
	close_vm(&v);
	CHECK(threads_gone());
	return true;
}

/* A thread is not made the first process of a pid namespace. */
static bool test_pid_namespace(void)
{
	struct vm v;
	int status;

	CHECK(create_vm(&v, KVM_ORPHAN_RUN, 1, pay(loop)));
	CHECK(!ioctl(v.vm, KVM_ORPHAN_RELEASE, 0));
	if (!fork()) {
		if (unshare(CLONE_NEWPID))
			_exit(2);
		_exit(!(!adopt(&v) && run_async(&v, 0) < 0 && errno == EINVAL));
	}
	wait(&status);
	skip_reason = WEXITSTATUS(status) == 2 ? "no pid namespaces" : NULL;
	CHECK(skip_reason || !status);
	CHECK(owner_goes(&v) || skip_reason);
	close_vm(&v);
	CHECK(threads_gone());
	return true;
}

/* A thread is killed while it has nothing to do, and just as it gets something. */
static bool killed_idle(struct vm *v, volatile uint32_t *go, unsigned int delay_ns)
{
	struct kvm_async_state s;
	uint64_t then;
	int status, pid;
	pid_t killer;

	/* There may be none: the last one noticed late that it was killed. */
	for (int i = 0; !(pid = thread_pid()) && i < 100; i++)
		CHECK(!run_async(v, 0) && !ioctl(v->vcpu[0], KVM_ASYNC_PARK, 0));
	CHECK(pid > 0);
	*go = 0;
	killer = fork();
	if (!killer) {
		while (!*go)
			;
		then = now_ns();
		while (now_ns() - then < delay_ns)
			;
		_exit(kill(pid, SIGKILL) && errno != ESRCH);
	}
	sleep_ms(1);
	then = count(v, 0);
	*go = 1;
	CHECK(!run_async(v, 0));
	CHECK(waitpid(killer, &status, 0) == killer && !status);
	for (int i = 0; i < 200; i++) {
		s = state_of(v, 0);
		if (s.state == KVM_ASYNC_PAUSED || count(v, 0) != then)
			break;
		sleep_ms(5);
	}
	CHECK(s.state == KVM_ASYNC_PAUSED || count(v, 0) != then);
	CHECK(!ioctl(v->vcpu[0], KVM_ASYNC_PARK, 0));
	return true;
}

static bool test_killed_idle(void)
{
	volatile uint32_t *go = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	bool ok = true;
	struct vm v;

	CHECK(go != MAP_FAILED);
	CHECK(create_vm(&v, KVM_ORPHAN_RUN, 1, pay(loop)));
	CHECK(!run_async(&v, 0) && !ioctl(v.vcpu[0], KVM_ASYNC_PARK, 0));
	widen_races("2000");
	for (int i = 0; ok && i < (soak ?: 300); i++)
		ok = killed_idle(&v, go, i % 100 * 2000);
	widen_races("0");
	if (!ok)
		return false;
	close_vm(&v);
	CHECK(threads_gone());
	return true;
}

#ifdef __x86_64__
static int share_info(int vm, void *at)
{
	struct kvm_xen_hvm_attr attr = { .type = KVM_XEN_ATTR_TYPE_SHARED_INFO_HVA,
					 .u.shared_info.hva = (uintptr_t)at };

	return ioctl(vm, KVM_XEN_HVM_SET_ATTR, &attr);
}
#endif

/* What Xen's guests share with KVM by an address is refused, before and after. */
static bool test_xen(void)
{
#ifdef __x86_64__
	struct kvm_xen_hvm_config pages = { .msr = 0x40000000 };
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int vm = ioctl(kvm_fd, KVM_CREATE_VM, 0);

	skip_reason = ioctl(kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_XEN_HVM) > 0 ? NULL :
		      "this kernel has no CONFIG_KVM_XEN";
	if (skip_reason)
		return true;
	CHECK(!share_info(vm, page));
	CHECK_FAILS(enable(vm, KVM_ORPHAN_RUN), EBUSY);
	CHECK(!share_info(vm, NULL));
	CHECK(!ioctl(vm, KVM_XEN_HVM_CONFIG, &pages));
	CHECK_FAILS(enable(vm, KVM_ORPHAN_RUN), EBUSY);
	pages.msr = 0;
	CHECK(!ioctl(vm, KVM_XEN_HVM_CONFIG, &pages));
	CHECK(!enable(vm, KVM_ORPHAN_RUN));
	CHECK_FAILS(share_info(vm, page), EINVAL);
	pages.msr = 0x40000000;
	CHECK_FAILS(ioctl(vm, KVM_XEN_HVM_CONFIG, &pages), EINVAL);
	close(vm);
#else
	skip_reason = "for x86";
#endif
	return true;
}

/*
 * Of private memory, in any VM, KVM has what is at userspace_addr, and keeps its
 * hands off the guest's.  The clock that it shares with the guest shows which.
 */
static bool test_private_memory(void)
{
#ifdef __x86_64__
	struct { struct kvm_msrs head; struct kvm_msr_entry clock; } msrs = {
		.head.nmsrs = 1, .clock = { 0x4b564d01 /* SYSTEM_TIME_NEW */, .data = WORDS | 1 } };
	struct kvm_create_guest_memfd gmem = { .size = MEM_SIZE, .flags = GUEST_MEMFD_FLAG_MMAP };
	struct kvm_userspace_memory_region2 slot = { .memory_size = MEM_SIZE,
		.flags = KVM_MEM_GUEST_MEMFD };
	struct itimerspec in = { .it_value.tv_nsec = 200000000 };
	struct sigevent ev = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM };
	struct vm v = { .nr = 1 };
	timer_t t;

	v.vm = ioctl(kvm_fd, KVM_CREATE_VM, 0);
	v.mem_fd = ioctl(v.vm, KVM_CREATE_GUEST_MEMFD, &gmem);
	CHECK(v.vm >= 0 && v.mem_fd >= 0);
	v.mem = mmap(NULL, MEM_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	slot.guest_memfd = v.mem_fd;
	slot.userspace_addr = (uintptr_t)v.mem;
	CHECK(!ioctl(v.vm, KVM_SET_USER_MEMORY_REGION2, &slot));
	v.run_size = ioctl(kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	CHECK(add_irqchip(&v));
	v.vcpu[0] = ioctl(v.vm, KVM_CREATE_VCPU, 0);
	CHECK(v.vcpu[0] >= 0 && set_up_vcpu(&v, 0) && map_runs(&v));
	CHECK(ioctl(v.vcpu[0], KVM_SET_MSRS, &msrs) == 1);
	/* All zeroes, which are instructions that go on. */
	CHECK(!timer_create(CLOCK_MONOTONIC, &ev, &t) && !timer_settime(t, 0, &in, NULL));
	ioctl(v.vcpu[0], KVM_RUN, 0);
	timer_delete(t);
	CHECK(*(volatile uint64_t *)(v.mem + WORDS + 8));	/* tsc_timestamp */
	close_vm(&v);
#else
	skip_reason = "for x86";
#endif
	return true;
}

/* A VM is told of the capability if it can have it. */
static bool test_capability(void)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_ORPHAN };
	int vm = ioctl(kvm_fd, KVM_CREATE_VM, 0);
#ifdef __x86_64__
	int types = ioctl(kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_VM_TYPES);
#endif

	CHECK(ioctl(vm, KVM_CHECK_EXTENSION, KVM_CAP_ORPHAN) == 7);
	CHECK(!ioctl(vm, KVM_ENABLE_CAP, &cap));
	CHECK(ioctl(vm, KVM_CHECK_EXTENSION, KVM_CAP_ORPHAN) == 7);
	close(vm);
#ifdef __x86_64__
	if (!(types & 1 << KVM_X86_SW_PROTECTED_VM)) {
		skip_reason = "no VM of another type";
		return true;
	}
	vm = ioctl(kvm_fd, KVM_CREATE_VM, KVM_X86_SW_PROTECTED_VM);
	CHECK(vm >= 0 && !ioctl(vm, KVM_CHECK_EXTENSION, KVM_CAP_ORPHAN));
	CHECK_FAILS(ioctl(vm, KVM_ENABLE_CAP, &cap), EINVAL);
	close(vm);
#endif
	return true;
}

/* Stolen time is written by the address of a memslot, which is one process's. */
static bool test_stolen_time(void)
{
#ifdef __aarch64__
	uint64_t ipa = WORDS;
	struct kvm_device_attr attr = { .group = KVM_ARM_VCPU_PVTIME_CTRL,
		.attr = KVM_ARM_VCPU_PVTIME_IPA, .addr = (uintptr_t)&ipa };
	int protected = ioctl(kvm_fd, KVM_CREATE_VM, 1ul << 31);
	struct vm v;

	CHECK(create_vm(&v, -1, 1, pay(loop)));
	if (ioctl(v.vcpu[0], KVM_HAS_DEVICE_ATTR, &attr))
		skip_reason = "this kernel tells of no stolen time";
	close_vm(&v);
	if (skip_reason)
		return true;
	for (int i = 0; i <= (protected >= 0); i++) {
		CHECK(create_vm(&v, i ? KVM_ORPHAN_RUN | PROTECTED : KVM_ORPHAN_RUN, 1, pay(loop)));
		CHECK(!ioctl(v.vm, KVM_CHECK_EXTENSION, KVM_CAP_STEAL_TIME));
		CHECK_FAILS(ioctl(v.vcpu[0], KVM_HAS_DEVICE_ATTR, &attr), ENXIO);
		CHECK_FAILS(ioctl(v.vcpu[0], KVM_SET_DEVICE_ATTR, &attr), ENXIO);
		close_vm(&v);
	}
	close(protected);
#else
	skip_reason = "for arm64";
#endif
	return true;
}

/* The guest's memory goes away beneath it: its end, not the host's. */
static bool test_punch_hole(void)
{
	struct vm v;

	CHECK(start_vmm(&v, KVM_ORPHAN_RUN, 1, pay(loop)));
	CHECK(kill_vmm(&v));
	CHECK(!fallocate(v.mem_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, MEM_SIZE));
	sleep_ms(300);
	struct kvm_async_state s = state_of(&v, 0);

	say("after the hole: state %u, exit reason %u, error %d", s.state, s.exit_reason, s.error);
	CHECK(s.state != ~0u);
	close_vm(&v);
	CHECK(threads_gone());
	return true;
}

/* Is @text in /proc/@pid/@file? */
static bool proc_says(int pid, const char *file, const char *text)
{
	char path[64], all[4096];
	ssize_t got;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);
	fd = open(path, O_RDONLY);
	got = fd < 0 ? -1 : read(fd, all, sizeof(all) - 1);
	if (fd >= 0)
		close(fd);
	if (got < 0)
		return false;
	all[got] = 0;
	return strstr(all, text);
}

#define GROUP "/group/vmm"

/* Threads are their owner's by cgroup, priority and user, and go by its cgroup. */
static bool test_cgroup(void)
{
	int pair[2], status, pid;
	struct vm v;
	pid_t vmm;

	mkdir("/group", 0755);
	if (mount("group", "/group", "cgroup2", 0, NULL) && errno != EBUSY) {
		skip_reason = "no cgroup2";
		return true;
	}
	CHECK(!mkdir(GROUP, 0755) || errno == EEXIST);
	CHECK(!socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair));
	vmm = fork();
	if (!vmm) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (!write_file(GROUP "/cgroup.procs", "0") || setpriority(PRIO_PROCESS, 0, 5) ||
		    setuid(65534))
			_exit(1);
		if (!create_vm(&v, KVM_ORPHAN_RUN, 1, pay(loop)) || !run_all(&v) ||
		    !send_fds(pair[1], &v))
			_exit(2);
		for (;;)
			pause();
	}
	close(pair[1]);
	CHECK(take_fds(pair[0], &v));
	close(pair[0]);
	v.vmm = vmm;
	pid = thread_pid();
	CHECK(proc_says(pid, "cgroup", "::/vmm\n"));
	CHECK(proc_says(pid, "status", "Uid:\t65534\t65534\t65534\t65534\n"));
	CHECK(getpriority(PRIO_PROCESS, pid) == 5);
	CHECK(write_file(GROUP "/cgroup.freeze", "1"));
	sleep_ms(200);
	CHECK(stands_still(&v, 0));
	CHECK(write_file(GROUP "/cgroup.freeze", "0"));
	CHECK(goes_on(&v, 0));

	CHECK(write_file(GROUP "/cgroup.kill", "1"));
	CHECK(waitpid(vmm, &status, 0) == vmm && WIFSIGNALED(status));
	CHECK(owner_goes(&v));
	CHECK(wait_stopped(&v, 0, 2000));
	CHECK(threads_gone());
	CHECK(state_of(&v, 0).state == KVM_ASYNC_PAUSED);
	CHECK(state_of(&v, 0).exit_reason == KVM_EXIT_INTR);
	CHECK(!rmdir(GROUP));
	/* Another user may not have it; its own may, without being anybody special. */
	if (!fork())
		_exit(!(!setuid(65533) && adopt(&v) < 0 && errno == EPERM));
	wait(&status);
	CHECK(!status);
	if (!fork())
		_exit(!(!setuid(65534) && !adopt(&v) && !run_async(&v, 0) && goes_on(&v, 0)));
	wait(&status);
	CHECK(!status);
	CHECK(owner_goes(&v) && owner_of(&v).generation == 1);
	CHECK(proc_says(thread_pid(), "status", "Uid:\t65534\t65534\t65534\t65534\n"));
	CHECK(!adopt(&v) && !ioctl(v.vcpu[0], KVM_ASYNC_PARK, 0) && !run_async(&v, 0));
	CHECK(goes_on(&v, 0));
	CHECK(proc_says(thread_pid(), "cgroup", "::/\n"));
	close_vm(&v);
	CHECK(threads_gone());
	umount("/group");
	return true;
}

static pid_t start_in_group(struct vm *v)
{
	int pair[2];
	pid_t vmm;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair))
		return -1;
	vmm = fork();
	if (!vmm) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (!write_file(GROUP "/cgroup.procs", "0") ||
		    !create_vm(v, KVM_ORPHAN_RUN, 1, pay(loop)) || !run_all(v) ||
		    !send_fds(pair[1], v))
			_exit(1);
		for (;;)
			pause();
	}
	close(pair[1]);
	v->vmm = take_fds(pair[0], v) ? vmm : -1;
	close(pair[0]);
	return v->vmm;
}

/* A dead VMM's threads are frozen with its cgroup, and lock nobody out. */
static bool test_frozen(void)
{
	struct vm v;

	mkdir("/group", 0755);
	if (mount("group", "/group", "cgroup2", 0, NULL) && errno != EBUSY) {
		skip_reason = "no cgroup2";
		return true;
	}
	CHECK(!mkdir(GROUP, 0755) || errno == EEXIST);
	CHECK(start_in_group(&v) > 0);
	CHECK(goes_on(&v, 0));
	CHECK(write_file(GROUP "/cgroup.freeze", "1"));
	sleep_ms(200);
	CHECK(stands_still(&v, 0));
	CHECK(kill_vmm(&v));
	CHECK(!adopt(&v));
	alarm(5);
	CHECK(!ioctl(v.vcpu[0], KVM_ASYNC_PARK, 0));
	alarm(0);
	CHECK(state_of(&v, 0).state == KVM_ASYNC_PAUSED);
	CHECK(!run_async(&v, 0));
	CHECK(goes_on(&v, 0));
	CHECK(!ioctl(v.vcpu[0], KVM_ASYNC_PARK, 0) && stands_still(&v, 0));
	/* The first one, too, when it can: and does not run the vCPU again. */
	CHECK(write_file(GROUP "/cgroup.freeze", "0"));
	for (int i = 0; i < 200 && threads() != 1; i++)
		sleep_ms(10);
	CHECK(threads() == 1 && stands_still(&v, 0));
	close_vm(&v);
	CHECK(threads_gone());
	CHECK(!rmdir(GROUP));
	umount("/group");
	return true;
}

/* A tracer can stop the thread, and change what it will, but not the guest. */
static bool trace(int pid)
{
	char regs[1024];
	struct iovec io = { regs, sizeof(regs) };
	int status;

	CHECK(!ptrace(PTRACE_SEIZE, pid, 0, 0));
	CHECK(!ptrace(PTRACE_INTERRUPT, pid, 0, 0));
	CHECK(waitpid(pid, &status, __WALL) == pid && WIFSTOPPED(status));
	for (unsigned long set = 1; set <= 2; set++) {
		io.iov_len = sizeof(regs);
		CHECK(!ptrace(PTRACE_GETREGSET, pid, set, &io));
		/* Which may be refused: they are not those of a user's program. */
		ptrace(PTRACE_SETREGSET, pid, set, &io);
	}
	CHECK_FAILS(ptrace(PTRACE_PEEKDATA, pid, 0x1000, 0), EIO);
	CHECK(!ptrace(PTRACE_CONT, pid, 0, SIGTERM));
	sleep_ms(10);
	CHECK(!ptrace(PTRACE_INTERRUPT, pid, 0, 0));
	CHECK(waitpid(pid, &status, __WALL) == pid && WIFSTOPPED(status));
	return true;
}

static void read_all_of(int pid)
{
	char path[300], some[4096];
	struct dirent *entry;
	DIR *proc;

	snprintf(path, sizeof(path), "/proc/%d", pid);
	proc = opendir(path);
	while (proc && (entry = readdir(proc))) {
		int fd;

		snprintf(path, sizeof(path), "/proc/%d/%s", pid, entry->d_name);
		if (readlink(path, some, sizeof(some)) > 0)
			continue;
		fd = open(path, O_RDONLY | O_NONBLOCK);
		while (fd >= 0 && read(fd, some, sizeof(some)) > 0)
			;
		close(fd);
	}
	if (proc)
		closedir(proc);
}

static bool test_hostile(void)
{
	struct kvm_userspace_memory_region2 slot = { 0 };
	struct kvm_async_state s;
	struct vm v;
	int pid, status;

	CHECK(start_vmm(&v, KVM_ORPHAN_RUN, 1, pay(fpu)));
	CHECK(kill_vmm(&v));
	CHECK_FAILS(ioctl(v.vm, KVM_SET_USER_MEMORY_REGION2, &slot), EIO);
	pid = thread_pid();
	CHECK(pid > 0);
	read_all_of(pid);
	CHECK(goes_on(&v, 0));
	CHECK(trace(pid));
	CHECK(stands_still(&v, 0));
	CHECK(!ptrace(PTRACE_DETACH, pid, 0, 0));
	CHECK(goes_on(&v, 0));
	/* The tracer goes while it has it stopped. */
	if (!fork())
		_exit(!trace(pid));
	wait(&status);
	CHECK(!status);
	CHECK(goes_on(&v, 0));
	CHECK(!*word(&v, 0, W_WRONG));

	/* The new owner takes the memory away beneath a guest that runs. */
	CHECK(!adopt(&v));
	CHECK(!ioctl(v.vm, KVM_SET_USER_MEMORY_REGION2, &slot));
	/* On arm64 it may take one abort after the other for ever, as any guest may. */
	if (!wait_stopped(&v, 0, 2000))
		CHECK(!ioctl(v.vcpu[0], KVM_ASYNC_PARK, 0));
	CHECK(stands_still(&v, 0));
	s = state_of(&v, 0);
	say("without memory: state %u, exit reason %u, error %d", s.state, s.exit_reason, s.error);
	CHECK(s.state == KVM_ASYNC_PAUSED || s.state == KVM_ASYNC_FAILED);
	close_vm(&v);
	CHECK(threads_gone());
	return true;
}

/* A protected guest says numbers; none may be left out or come twice. */
static bool test_protected(void)
{
	uint32_t device = 0, expected = 0;
	bool write;
	struct vm v;
	int status;

#ifdef __aarch64__
	int vm = ioctl(kvm_fd, KVM_CREATE_VM, 1ul << 31);

	skip_reason = vm < 0 ? "no protected VMs here" : NULL;
	close(vm);
#else
	skip_reason = "for arm64";
#endif
	if (skip_reason)
		return true;
	CHECK(start_vmm(&v, KVM_ORPHAN_RUN | PROTECTED, 1, pay(io)));
	CHECK(wait_stopped(&v, 0, 5000));
	for (int cycle = 0; cycle < 20; cycle++) {
		if (!cycle) {
			CHECK(kill_vmm(&v));
			CHECK(!adopt(&v));
		}
		for (int i = 0; i < 20; i++) {
			CHECK(serve(&v, 0, &device, &write));
			CHECK(!write || device == expected++);
			CHECK(!run_async(&v, 0));
			CHECK(wait_stopped(&v, 0, 5000));
		}
		/* Hand it to one that dies, and take it again. */
		CHECK(!ioctl(v.vm, KVM_ORPHAN_RELEASE, 0));
		if (!fork())
			_exit(!!adopt(&v));
		wait(&status);
		CHECK(!status);
		CHECK(owner_goes(&v));
		CHECK(!adopt(&v));
	}
	say("%u numbers in 20 hand-overs", expected);
	close_vm(&v);
	CHECK(threads_gone());
	return true;
}

#define HOGS 4

/* Compute, and count in *@wrong how often a register was not what it had been. */
static void hog(int i, bool avx, uint32_t *wrong)
{
	volatile double x = i;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (!avx)
		x = x * 1.0000001 + 0.5;
#ifdef __x86_64__
	uint32_t in[8], out[2][8], turns;

	for (int n = 0; n < 8; n++)
		in[n] = (i + 1) * 0x10101010 + n;
	for (;;) {
		asm volatile("vmovups %3,%%ymm0\n vmovups %3,%%ymm7\n mov $20000,%0\n"
			     "1: dec %0\n jnz 1b\n vmovups %%ymm0,%1\n vmovups %%ymm7,%2\n"
			     "vzeroupper"
			     : "=&r"(turns), "=m"(out[0]), "=m"(out[1]) : "m"(in)
			     : "xmm0", "xmm7", "cc");
		if (memcmp(in, out[0], sizeof(in)) || memcmp(in, out[1], sizeof(in)))
			__atomic_fetch_add(wrong, 1, __ATOMIC_RELAXED);
	}
#endif
}

/* Beside hogs, a guest has its own registers, and hogs have theirs. */
static bool keeps_registers(int policy, const char *code, size_t size)
{
	uint32_t *wrong = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t hogs[HOGS];
	struct vm v;

	CHECK(wrong != MAP_FAILED);
	CHECK(start_vmm(&v, policy, 1, code, size));
	CHECK(kill_vmm(&v));
	for (int i = 0; i < HOGS; i++) {
		hogs[i] = fork();
		if (!hogs[i])
			hog(i, policy & AVX, wrong);
	}
	sleep_ms(3000);
	for (int i = 0; i < HOGS; i++) {
		kill(hogs[i], SIGKILL);
		waitpid(hogs[i], NULL, 0);
	}
	say("%u rounds, %u wrong; %u wrong of the host's own", (unsigned int)count(&v, 0),
	    (unsigned int)*word(&v, 0, W_WRONG), *wrong);
	CHECK(count(&v, 0) > 10);
	CHECK(!*word(&v, 0, W_WRONG));
	CHECK(!*wrong);
	close_vm(&v);
	CHECK(threads_gone());
	return true;
}

static bool test_fpu(void)	{ return keeps_registers(KVM_ORPHAN_RUN, pay(fpu)); }

static bool test_fpu_avx(void)
{
#ifdef __x86_64__
	if (__builtin_cpu_supports("avx"))
		return keeps_registers(KVM_ORPHAN_RUN | AVX, pay(avx));
	skip_reason = "this CPU has no AVX";
#else
	skip_reason = "for x86";
#endif
	return true;
}

/*
 * Pages, with no regard to where: what is free may be on the lists of a CPU.  If
 * what is in slabs were left out, a cache that grows would look like a leak; if
 * it were only counted in, a leak in one would not be seen.
 */
struct pages { long all, slab; };

static struct pages count_pages(void)
{
	struct pages pages = { 0 };
	char line[200];
	FILE *f;

	f = fopen("/proc/sys/vm/drop_caches", "w");
	if (f) {
		fputs("3", f);
		fclose(f);
	}
	f = fopen("/proc/vmstat", "r");
	while (f && fgets(line, sizeof(line), f)) {
		long n;

		if (sscanf(line, "nr_slab_reclaimable %ld", &n) == 1 ||
		    sscanf(line, "nr_slab_unreclaimable %ld", &n) == 1)
			pages.slab += n;
		if (sscanf(line, "nr_free_pages %ld", &n) == 1)
			pages.all += n;
	}
	if (f)
		fclose(f);
	f = fopen("/proc/zoneinfo", "r");
	while (f && fgets(line, sizeof(line), f)) {
		long n;

		if (sscanf(line, " count: %ld", &n) == 1)
			pages.all += n;
	}
	if (f)
		fclose(f);
	pages.all += pages.slab;
	return pages;
}

/* Which caches have grown, where the kernel tells: objects in use, of each. */
struct slab { char name[40]; long used; };

static int read_slabs(struct slab *slabs, int most)
{
	FILE *f = fopen("/proc/slabinfo", "r");
	char line[400];
	int n = 0;

	while (f && n < most && fgets(line, sizeof(line), f)) {
		if (line[0] != '#' &&
		    sscanf(line, "%39s %ld", slabs[n].name, &slabs[n].used) == 2)
			n++;
	}
	if (f)
		fclose(f);
	return n;
}

static void say_growth(const struct slab *before, int nr, int lives)
{
	static struct slab after[400];
	int now = read_slabs(after, ARRAY_SIZE(after));

	for (int i = 0; i < now; i++) {
		for (int b = 0; b < nr; b++) {
			if (strcmp(after[i].name, before[b].name) ||
			    after[i].used - before[b].used < lives / 8)
				continue;
			say("%s: %ld objects more", after[i].name,
			    after[i].used - before[b].used);
		}
	}
}

/* A life of a VM that dies with its VMM, to compare with. */
static bool plain_life(void)
{
	struct vm v = { .nr = 0 };
	int status;
	pid_t vmm = fork();

	if (!vmm) {
		alarm(5);
		if (!create_vm(&v, -1, 2, pay(io)) || ioctl(v.vcpu[0], KVM_RUN, 0) ||
		    ioctl(v.vcpu[1], KVM_RUN, 0))
			_exit(1);
		kill(getpid(), SIGKILL);
	}
	CHECK(waitpid(vmm, &status, 0) == vmm && WIFSIGNALED(status));
	return true;
}

static bool adopted_life(void)
{
	struct vm v;

	CHECK(start_vmm(&v, KVM_ORPHAN_RUN, 2, pay(loop)));
	CHECK(kill_vmm(&v));
	CHECK(!adopt(&v));
	close_vm(&v);
	CHECK(threads_gone());
	return true;
}

static bool leaks(bool (*life)(void), const char *what)
{
	static struct slab slabs[400];
	struct pages before = { 0 }, after;
	int lives = soak ?: 50, nr = 0;

	for (int i = 0; i < 50 + lives; i++) {
		if (i == 50) {
			sleep_ms(200);
			before = count_pages();
			nr = read_slabs(slabs, ARRAY_SIZE(slabs));
		}
		CHECK(life());
	}
	sleep_ms(200);
	after = count_pages();
	say("%d lives of %s VMs: %ld pages fewer; slabs %ld pages larger (a life has 512 of its own)",
	    lives, what, before.all - after.all, after.slab - before.slab);
	say_growth(slabs, nr, lives);
	CHECK(before.all - after.all < 1024);
	CHECK(after.slab - before.slab < 1024);
	return true;
}

static bool test_leak(void)		{ return leaks(adopted_life, "adopted"); }
static bool test_leak_plain(void)	{ return leaks(plain_life, "plain"); }

/* What an exit costs, by RUN and by RUN_ASYNC; and one that the kernel serves. */
enum how { SYNC, POLL, SPIN };

static double round_trip(struct vm *v, enum how how, int n)
{
	volatile struct kvm_async_page *page =
		(void *)((char *)v->run[0] + KVM_ASYNC_PAGE_OFFSET);
	uint32_t device = 0;
	uint64_t start = now_ns();
	bool write;

	for (int i = 0; i < n; i++) {
		if (how != SYNC) {
			if (run_async(v, 0))
				return -1;
			/* As long as it is likely to come, looking is cheaper. */
			for (int look = 0; how == SPIN && look < 20000 &&
			     page->state == KVM_ASYNC_RUNNING; look++)
				;
			if (page->state == KVM_ASYNC_RUNNING && !wait_stopped(v, 0, 5000))
				return -1;
		} else if (ioctl(v->vcpu[0], KVM_RUN, 0)) {
			return -1;
		}
		if (!serve(v, 0, &device, &write))
			return -1;
	}
	return (now_ns() - start) / 1000.0 / n;
}

static int by_value(const void *a, const void *b)
{
	double d = *(double *)a - *(double *)b;

	return d < 0 ? -1 : d > 0;
}

static bool test_cost(void)
{
	double us[3][7];
	struct vm v;

	CHECK(create_vm(&v, KVM_ORPHAN_RUN, 1, pay(io)));
	CHECK(round_trip(&v, POLL, 100) > 0);
	for (int i = 0; i < 7; i++)
		for (int how = SYNC; how <= SPIN; how++) {
			us[how][i] = round_trip(&v, how, 400);
			CHECK(us[how][i] > 0);
		}
	for (int how = SYNC; how <= SPIN; how++)
		qsort(us[how], 7, sizeof(double), by_value);
	say("exit to userspace, median of 7 runs: KVM_RUN %.1f us; KVM_RUN_ASYNC with poll() %.1f us, ratio %.2f; with a look at the page first %.1f us, ratio %.2f",
	    us[SYNC][3], us[POLL][3], us[POLL][3] / us[SYNC][3],
	    us[SPIN][3], us[SPIN][3] / us[SYNC][3]);
	close_vm(&v);
	return true;
}

static bool test_cost_in_kernel(void)
{
	uint64_t start, n;
	double rate[2][5];
	struct vm v;

	CHECK(create_vm(&v, KVM_ORPHAN_RUN, 1, pay(kernel)));
	for (int i = 0; i < 10; i++) {
		n = count(&v, 0);
		start = now_ns();
		if (i & 1) {
			CHECK(!run_async(&v, 0));
			sleep_ms(300);
			CHECK(!ioctl(v.vcpu[0], KVM_ASYNC_PARK, 0));
		} else {
			struct itimerspec in = { .it_value.tv_nsec = 300000000 };
			struct sigevent ev = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM };
			timer_t t;

			if (timer_create(CLOCK_MONOTONIC, &ev, &t) || timer_settime(t, 0, &in, NULL))
				return false;
			ioctl(v.vcpu[0], KVM_RUN, 0);
			timer_delete(t);
		}
		n = (uint32_t)(count(&v, 0) - n);
		CHECK(n);
		rate[i & 1][i / 2] = (now_ns() - start) / 1000.0 / n;
	}
	for (int which = 0; which < 2; which++)
		qsort(rate[which], 5, sizeof(double), by_value);
	say("exit served by the kernel, median of 5: KVM_RUN %.2f us, KVM_RUN_ASYNC %.2f us, ratio %.2f",
	    rate[0][2], rate[1][2], rate[1][2] / rate[0][2]);
	close_vm(&v);
	return true;
}

static const struct {
	const char *name;
	bool (*test)(void);
} tests[] = {
	{ "stock_eio", test_stock_eio },
	{ "enable", test_enable },
	{ "capability", test_capability },
	{ "xen", test_xen },
	{ "private_memory", test_private_memory },
	{ "stolen_time", test_stolen_time },
	{ "busy_and_park", test_busy_and_park },
	{ "survive_loop", test_survive_loop },
	{ "survive_smp", test_survive_smp },
	{ "survive_hlt", test_survive_hlt },
	{ "survive_kernel_exits", test_survive_kernel },
	{ "orphan_exit_served_once", test_orphan_exit },
	{ "exit_seq", test_exit_seq },
	{ "cycles", test_cycles },
	{ "rights", test_rights },
	{ "rights_follow", test_rights_follow },
	{ "release", test_release },
	{ "release_ends_runs", test_release_ends_runs },
	{ "release_waits", test_release_waits },
	{ "mapping", test_mapping },
	{ "policies", test_policies },
	{ "shared_mm", test_shared_mm },
	{ "core_dump", test_core_dump },
	{ "policy_first", test_policy_first },
	{ "fd_by_fd", test_fd_by_fd },
	{ "abandoned", test_abandoned },
	{ "alone", test_alone },
	{ "together", test_together },
	{ "ticker_cycles", test_ticker_cycles },
	{ "signals", test_signals },
	{ "signal_mask", test_signal_mask },
	{ "pid_namespace", test_pid_namespace },
	{ "killed_idle", test_killed_idle },
	{ "cgroup", test_cgroup },
	{ "frozen", test_frozen },
	{ "punch_hole", test_punch_hole },
	{ "hostile", test_hostile },
	{ "protected", test_protected },
	{ "fpu", test_fpu },
	{ "fpu_avx", test_fpu_avx },
	{ "leak_plain", test_leak_plain },
	{ "leak", test_leak },
	{ "cost", test_cost },
	{ "cost_in_kernel", test_cost_in_kernel },
};

static void on_alarm(int signal)
{
}

enum { PASSED, FAILED, SKIPPED = 4 };

/* In a process of its own, so that one that fails leaves nothing to the next. */
static int run_test(int i)
{
	pid_t pid;
	int status;

	fflush(stdout);
	pid = fork();
	if (!pid) {
		bool ok;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		ok = tests[i].test();
		if (!ok)
			say("%s", why);
		if (skip_reason)
			say("%s", skip_reason);
		fflush(stdout);
		_exit(!ok ? FAILED : skip_reason ? SKIPPED : PASSED);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return FAILED;
	return WEXITSTATUS(status);
}

/* @parts are with commas between them. */
static bool is_wanted(const char *name, const char *parts)
{
	char all[256], *rest, *part;

	snprintf(all, sizeof(all), "%s", parts);
	for (part = strtok_r(all, ",", &rest); part; part = strtok_r(NULL, ",", &rest)) {
		if (strstr(name, part))
			return true;
	}
	return false;
}

static void be_init(void)
{
	mkdir("/proc", 0755);
	mkdir("/dev", 0755);
	mkdir("/sys", 0755);
	mount("proc", "/proc", "proc", 0, NULL);
	mount("sys", "/sys", "sysfs", 0, NULL);
	mount("dev", "/dev", "devtmpfs", 0, NULL);
	int console = open("/dev/console", O_RDWR);

	dup2(console, 0), dup2(console, 1), dup2(console, 2);
}

int main(int argc, char **argv)
{
	int nr = ARRAY_SIZE(tests);
	const char *only = getenv("only") ?: argc > 1 ? argv[1] : NULL;

	/* What takes a core, and has time: see test_core_dump(). */
	if (argc > 1 && !strcmp(argv[1], "slow_core")) {
		char core[4096];

		sleep_ms(3000);
		while (read(0, core, sizeof(core)) > 0)
			;
		return 0;
	}

	int repeat = atoi(getenv("repeat") ?: "1");

	soak = atoi(getenv("soak") ?: "0");

	if (getpid() == 1) {
		be_init();
		if (fork()) {
			while (wait(NULL) > 0)
				;
			reboot(RB_AUTOBOOT);
		}
	}
	signal(SIGALRM, on_alarm);
	setvbuf(stdout, NULL, _IOLBF, 0);
	kvm_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	printf("KTAP version 1\n");
	if (kvm_fd < 0 || ioctl(kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_ORPHAN) <= 0) {
		printf("1..0 # SKIP no %s\n", kvm_fd < 0 ? "/dev/kvm" : "KVM_CAP_ORPHAN");
		return 4;
	}
	printf("1..%d\n", nr * repeat);
	for (int n = 0; n < nr * repeat; n++) {
		int i = n % nr;
		bool skip = only && !is_wanted(tests[i].name, only);
		uint64_t start = now_ns();
		int result = skip ? SKIPPED : run_test(i);

		if (result == FAILED)
			threads_gone();
		test_nr++;
		failed += result == FAILED;
		printf("%s %d %s%s\n", result == FAILED ? "not ok" : "ok", test_nr,
		       tests[i].name, result == SKIPPED ? " # SKIP" : "");
		if (!skip)
			say("%u ms", (unsigned int)((now_ns() - start) / 1000000));
	}
	printf("# Totals: pass:%d fail:%d\n", nr * repeat - failed, failed);
	return failed ? 1 : 0;
}
