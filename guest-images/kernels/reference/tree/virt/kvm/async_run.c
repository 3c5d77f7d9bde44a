// SPDX-License-Identifier: GPL-2.0-only
/*
 * Guests that survive their VMM: vCPUs on threads of their own, and VMs whose
 * owner can go and be replaced.  See Documentation/virt/kvm/async-run.rst.
 *
 * Locks, from the outside in: kvm_orphan::lock, kvm->lock, kvm->slots_lock,
 * vcpu->mutex, kvm_orphan::state_lock, kvm_async::lock.  The notifier of an
 * owner's end takes the last two only.  With kvm_orphan::lock held, leases may be
 * waited for, and so what ioctls take; so no ioctl takes it that has a lease.
 */
#include <linux/anon_inodes.h>
#include <linux/cred.h>
#include <linux/delay.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/kvm_async.h>
#include <linux/kvm_host.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/moduleparam.h>
#include <linux/poll.h>
#include <linux/sched/signal.h>
#include <linux/sched/stat.h>
#include <linux/sched/vhost_task.h>
#include <linux/user_namespace.h>

#if defined(CONFIG_KVM_ASYNC_MUTANT) && defined(CONFIG_X86)
#include <asm/fpu/sched.h>
#endif

#include "kvm_mm.h"

static_assert(sizeof(struct kvm_orphan_state) == 48);
static_assert(sizeof(struct kvm_adopt) == 32);
static_assert(sizeof(struct kvm_run_async) == 32);
static_assert(sizeof(struct kvm_async_state) == 64);

static unsigned int async_poll_ns = 50000;
module_param(async_poll_ns, uint, 0644);
MODULE_PARM_DESC(async_poll_ns, "How long a vCPU's thread looks out for its exit to be served before it sleeps");

#if defined(CONFIG_KVM_ASYNC_MUTANT) && defined(CONFIG_X86)
static int async_mutant_set(const char *value, const struct kernel_param *kp)
{
	if (!sysfs_streq(value, "fpu"))
		return -EINVAL;

	fpu_mutant_forgets_workers = true;
	return 0;
}
module_param_call(async_mutant, async_mutant_set, NULL, NULL, 0200);
#endif

/* Where two race, a test needs not wait for luck. */
#ifdef CONFIG_KVM_ASYNC_MUTANT
static unsigned int async_race_us;
module_param(async_race_us, uint, 0644);
MODULE_PARM_DESC(async_race_us, "How long to stay where a race was once");

static void kvm_async_widen_race(void)
{
	if (READ_ONCE(async_race_us))
		mdelay(DIV_ROUND_UP(min(READ_ONCE(async_race_us), 20000u), 1000));
}
#else
static void kvm_async_widen_race(void)
{
}
#endif

/* Learns when the owner's mm goes. It has no other callback, so costs nothing. */
struct kvm_owner {
	struct mmu_notifier mn;
	struct pid *tgid;
	struct kvm_orphan *orphan;
};

struct kvm_orphan {
	struct kvm *kvm;
	u32 policy;

	struct mutex lock;		/* one change of owner at a time */
	struct kvm_owner *owner;	/* the last there was */
	bool changes;			/* an adopter waits for leases to end */

	spinlock_t state_lock;		/* for all below */
	struct mm_struct *owner_mm;	/* NULL unless PRESENT */
	struct pid *owner_tgid;		/* if owner_mm is not NULL */
	kuid_t uid;			/* of the last owner, see kvm_orphan_note_rights() */
	struct user_namespace *user_ns;
	u32 state;
	u64 generation;
};

struct kvm_async {
	spinlock_t lock;		/* for all below */
	wait_queue_head_t stopped;	/* poll(), and who parks the vCPU */
	wait_queue_head_t work;		/* the worker, while there is none */
	struct task_struct *worker;	/* also under vcpu->mutex when set */
	u64 worker_generation;		/* of the owner that it was made for */
	u32 state;
	u32 exit_reason;
	s32 error;
	u64 exit_seq;
	u64 runs;			/* how often it was started */
	bool inside;			/* the worker may be in the guest */
	bool park;
	bool stop;			/* for good */

	struct inode *inode;		/* of the vCPU's file */
};

unsigned long __weak kvm_arch_vcpu_get_pc(struct kvm_vcpu *vcpu)
{
	return 0;
}

/* Called in the owner's context, with vcpu->mutex held. */
int __weak kvm_arch_vcpu_async_ready(struct kvm_vcpu *vcpu)
{
	return 0;
}

/*
 * The vCPU's thread.
 */

/* Tell the world, with async->lock held. The sequence number comes first. */
static void kvm_async_publish(struct kvm_vcpu *vcpu, u32 state)
{
	struct kvm_async_page *page = (void *)vcpu->run + KVM_ASYNC_PAGE_OFFSET;
	struct kvm_async *async = vcpu->async;

	lockdep_assert_held(&async->lock);

	WRITE_ONCE(page->exit_seq, async->exit_seq);
	/* Who sees the state, in the page without a lock, sees the number. */
	smp_store_release(&page->state, state);
	WRITE_ONCE(async->state, state);
	if (state != KVM_ASYNC_RUNNING)
		wake_up_all(&async->stopped);
}

/* The vCPU is on an instruction boundary, and shall stay there. */
static void kvm_async_settle_parked(struct kvm_vcpu *vcpu)
{
	struct kvm_async *async = vcpu->async;

	lockdep_assert_held(&async->lock);

	async->park = false;
	if (async->state == KVM_ASYNC_RUNNING) {
		vcpu->run->exit_reason = KVM_EXIT_INTR;
		async->exit_reason = KVM_EXIT_INTR;
		kvm_async_publish(vcpu, KVM_ASYNC_PAUSED);
	} else if (async->state == KVM_ASYNC_STOPPING) {
		kvm_async_publish(vcpu, KVM_ASYNC_STOPPED);
	}
}

/*
 * With async->lock held: stop the thread if @stop, else only let it park.  One
 * that is outside of the guest is not waited for: it may be frozen or traced, and
 * not come for a long time.  When it does, it finds that it has nothing to do.
 */
static struct task_struct *kvm_async_interrupt(struct kvm_vcpu *vcpu, bool stop)
{
	struct kvm_async *async = vcpu->async;

	lockdep_assert_held(&async->lock);

	if (stop)
		async->stop = true;
	if (async->state == KVM_ASYNC_RUNNING) {
		async->park = true;
		if (stop)
			kvm_async_publish(vcpu, KVM_ASYNC_STOPPING);
		if (!async->inside)
			kvm_async_settle_parked(vcpu);
	} else if (stop && async->state != KVM_ASYNC_STOPPING) {
		kvm_async_publish(vcpu, KVM_ASYNC_STOPPED);
	}
	wake_up_all(&async->work);

	return async->worker ? get_task_struct(async->worker) : NULL;
}

static void kvm_async_kick(struct kvm_vcpu *vcpu, struct task_struct *worker)
{
	if (!worker)
		return;

	user_worker_kick(worker);
	kvm_vcpu_kick(vcpu);
	put_task_struct(worker);
}

static void kvm_async_end(struct kvm_vcpu *vcpu, bool stop)
{
	struct kvm_async *async = vcpu->async;
	struct task_struct *worker;

	spin_lock(&async->lock);
	worker = kvm_async_interrupt(vcpu, stop);
	spin_unlock(&async->lock);

	kvm_async_kick(vcpu, worker);
}

/*
 * The vCPU has left the guest with @r, as of KVM_RUN.  Is there something to be
 * served?  Two errors are exits, too: see KVM_EXIT_MEMORY_FAULT in api.rst.
 */
static bool kvm_async_is_exit(int r, u32 exit_reason)
{
	return r >= 0 || ((r == -EFAULT || r == -EHWPOISON) &&
			  exit_reason == KVM_EXIT_MEMORY_FAULT);
}

/* With async->lock held; to be published. All exits come by here. */
static void kvm_async_count(struct kvm_vcpu *vcpu, int r)
{
	struct kvm_async *async = vcpu->async;

	lockdep_assert_held(&async->lock);

	if (kvm_async_is_exit(r, READ_ONCE(vcpu->run->exit_reason))) {
		async->exit_reason = READ_ONCE(vcpu->run->exit_reason);
		async->exit_seq++;
	}
}

/* KVM_RUN is over, with vcpu->mutex held: no thread but the caller's ran it. */
void kvm_async_vcpu_ran(struct kvm_vcpu *vcpu, int r)
{
	struct kvm_async *async = vcpu->async;

	if (!async)
		return;

	guard(spinlock)(&async->lock);
	kvm_async_count(vcpu, r);
	kvm_async_publish(vcpu, async->state);
}

/* With async->lock held: it has left the guest for good, with @r. */
static void kvm_async_settle(struct kvm_vcpu *vcpu, int r)
{
	struct kvm_async *async = vcpu->async;

	lockdep_assert_held(&async->lock);

	async->park = false;
	async->error = min(r, 0);
	async->exit_reason = READ_ONCE(vcpu->run->exit_reason);
	kvm_async_count(vcpu, r);

	if (async->stop)
		kvm_async_publish(vcpu, KVM_ASYNC_STOPPED);
	else
		kvm_async_publish(vcpu, r < 0 ? KVM_ASYNC_FAILED : KVM_ASYNC_PAUSED);
}

/* The worker is out of the guest, and comes to the next question. */
static void kvm_async_left(struct kvm_vcpu *vcpu, int r)
{
	struct kvm_async *async = vcpu->async;

	guard(spinlock)(&async->lock);
	async->inside = false;

	/* Interrupted, or not started yet by another vCPU: see again. */
	if (r != -EINTR && r != -EAGAIN)
		kvm_async_settle(vcpu, r);
	/* The interrupt controller is userspace's, and a line has changed. */
	else if (r == -EINTR && !signal_pending(current) &&
		 !kvm_arch_irqchip_in_kernel(vcpu->kvm))
		kvm_async_settle_parked(vcpu);
	/* Before it freezes, say. */
	else if (async->park || async->stop)
		kvm_async_settle_parked(vcpu);
}

enum kvm_async_next { KVM_ASYNC_GO, KVM_ASYNC_WAIT, KVM_ASYNC_LEAVE };

/* What the worker does next. One that was killed parks the vCPU and goes. */
static enum kvm_async_next kvm_async_next(struct kvm_vcpu *vcpu, bool killed)
{
	struct kvm_async *async = vcpu->async;
	bool mine;

	guard(spinlock)(&async->lock);
	mine = async->worker == current;
	if (mine && (killed || async->stop || async->park))
		kvm_async_settle_parked(vcpu);

	if (mine && !killed && !async->stop) {
		async->inside = async->state == KVM_ASYNC_RUNNING;
		return async->inside ? KVM_ASYNC_GO : KVM_ASYNC_WAIT;
	}

	if (mine) {
		async->worker = NULL;
		put_task_struct(current);
	}
	return KVM_ASYNC_LEAVE;
}

static bool kvm_async_is_wanted(struct kvm_async *async)
{
	return READ_ONCE(async->state) == KVM_ASYNC_RUNNING ||
	       READ_ONCE(async->stop) || READ_ONCE(async->worker) != current;
}

/*
 * Wait for something to do.  Most exits are served in less time than it takes
 * to sleep and to be woken, so look out for a while first, as for a halted vCPU.
 */
static void kvm_async_wait(struct kvm_async *async)
{
	u64 end = ktime_get_ns() + READ_ONCE(async_poll_ns);

	while (single_task_running() && !need_resched() &&
	       !signal_pending(current) && ktime_get_ns() < end) {
		if (kvm_async_is_wanted(async))
			return;
		cpu_relax();
	}
	wait_event_interruptible(async->work, kvm_async_is_wanted(async));
}

static void kvm_async_worker(void *arg)
{
	struct kvm_vcpu *vcpu = arg;
	struct kvm *kvm = vcpu->kvm;
	enum kvm_async_next next;
	int r;

	for (;;) {
		next = kvm_async_next(vcpu, user_worker_handle_signals());
		if (next == KVM_ASYNC_LEAVE)
			break;
		if (next == KVM_ASYNC_WAIT) {
			kvm_async_wait(vcpu->async);
			continue;
		}

		mutex_lock(&vcpu->mutex);
		r = kvm_vcpu_do_run(vcpu, true);
		mutex_unlock(&vcpu->mutex);
		kvm_async_left(vcpu, r);
	}

	/* The last to go may be this one. */
	kvm_put_kvm(kvm);
}

/*
 * Have a worker that was made by the present owner, so that it runs with the
 * owner's priority, in the owner's cgroup, and at the owner's expense.
 */
static int kvm_async_get_worker(struct kvm_vcpu *vcpu)
{
	struct kvm_async *async = vcpu->async;
	struct task_struct *worker, *old;
	u64 generation = READ_ONCE(vcpu->kvm->orphan->generation);
	char name[TASK_COMM_LEN];

	lockdep_assert_held(&vcpu->mutex);

	spin_lock(&async->lock);
	old = async->worker;
	if (old && async->worker_generation == generation) {
		spin_unlock(&async->lock);
		return 0;
	}
	async->worker = NULL;
	wake_up_all(&async->work);
	spin_unlock(&async->lock);
	if (old)
		put_task_struct(old);

	snprintf(name, sizeof(name), "kvm-vcpu/%d", vcpu->vcpu_id);
	kvm_get_kvm(vcpu->kvm);
	worker = user_worker_create(kvm_async_worker, vcpu,
				    kvm_vendor_module(), name);
	if (IS_ERR(worker)) {
		kvm_put_kvm_no_destroy(vcpu->kvm);
		return PTR_ERR(worker);
	}

	spin_lock(&async->lock);
	async->worker = worker;
	async->worker_generation = generation;
	spin_unlock(&async->lock);
	user_worker_start(worker);
	return 0;
}

/*
 * Who the owner is, and who may be.
 */

bool kvm_orphan_is_owner(struct kvm *kvm)
{
	struct kvm_orphan *orphan = kvm->orphan;

	return current->mm && READ_ONCE(orphan->owner_mm) == current->mm &&
	       READ_ONCE(orphan->owner_tgid) == task_tgid(current);
}

/* Has the caller begun to give it up, and may yet remain the owner? */
static bool kvm_orphan_is_leaving(struct kvm_orphan *orphan)
{
	guard(spinlock)(&orphan->state_lock);
	return orphan->state == KVM_OWNER_PRESENT && !orphan->owner_mm &&
	       orphan->owner->mn.mm == current->mm;
}

static bool kvm_orphan_may_adopt(struct kvm_orphan *orphan)
{
	struct user_namespace *user_ns;
	kuid_t uid;
	bool may;

	spin_lock(&orphan->state_lock);
	uid = orphan->uid;
	user_ns = get_user_ns(orphan->user_ns);
	spin_unlock(&orphan->state_lock);

	may = uid_eq(current_euid(), uid) || ns_capable(user_ns, CAP_SYS_PTRACE);
	put_user_ns(user_ns);
	return may;
}

/*
 * Who may adopt the VM after the caller, its owner: whoever is what the caller is
 * now.  A VMM may have been more when it made the VM, and a former owner less
 * than the present one is.
 */
static void kvm_orphan_note_rights(struct kvm_orphan *orphan)
{
	struct user_namespace *old;

	spin_lock(&orphan->state_lock);
	old = orphan->user_ns;
	orphan->uid = current_euid();
	orphan->user_ns = get_user_ns(current_user_ns());
	spin_unlock(&orphan->state_lock);

	put_user_ns(old);
}

/*
 * The vCPU's ioctls.
 */

/*
 * Lock a vCPU that does not run.  One that does is not waited for: that could
 * be for ever.  As only who has the mutex can start it, it stays as it is.
 */
int kvm_async_vcpu_lock(struct kvm_vcpu *vcpu)
{
	struct kvm_async *async = vcpu->async;
	u32 state;

	if (!async)
		return mutex_lock_killable(&vcpu->mutex) ? -EINTR : 0;

	for (;;) {
		state = READ_ONCE(async->state);
		if (state == KVM_ASYNC_RUNNING || state == KVM_ASYNC_STOPPING)
			return -EBUSY;
		if (!mutex_trylock(&vcpu->mutex)) {
			if (fatal_signal_pending(current))
				return -EINTR;
			usleep_range(10, 50);
			continue;
		}
		if (READ_ONCE(async->state) == state)
			return 0;
		mutex_unlock(&vcpu->mutex);
	}
}

/* Set the worker off; -EAGAIN if it was killed, and has gone, meanwhile. */
static int kvm_async_set_off(struct kvm_vcpu *vcpu)
{
	struct kvm_async *async = vcpu->async;

	guard(spinlock)(&async->lock);
	if (async->stop)
		return -EIO;
	/* From here on one that is killed finds the state, and parks the vCPU. */
	if (!async->worker)
		return -EAGAIN;

	async->park = false;
	async->error = 0;
	async->runs++;
	kvm_async_publish(vcpu, KVM_ASYNC_RUNNING);
	wake_up_all(&async->work);
	return 0;
}

static int kvm_async_start(struct kvm_vcpu *vcpu)
{
	int r;

	r = kvm_arch_vcpu_async_ready(vcpu);
	if (r)
		return r;

	do {
		r = kvm_async_get_worker(vcpu);
		if (r)
			return r;
		kvm_async_widen_race();
		r = kvm_async_set_off(vcpu);
	} while (r == -EAGAIN);
	return r;
}

static long kvm_async_run(struct kvm_vcpu *vcpu, void __user *argp)
{
	struct kvm_run_async args;
	long r;

	CLASS(kvm_vcpu_lease, lease)(vcpu);
	if (!lease || vcpu->kvm->vm_dead)
		return -EIO;
	if (!vcpu->async)
		return -EINVAL;
	if (copy_from_user(&args, argp, sizeof(args)))
		return -EFAULT;
	if (memchr_inv(&args, 0, sizeof(args)))
		return -EINVAL;

	r = kvm_async_vcpu_lock(vcpu);
	if (r)
		return r;
	kvm_orphan_note_rights(vcpu->kvm->orphan);
	r = kvm_async_start(vcpu);
	mutex_unlock(&vcpu->mutex);
	return r;
}

/* The owner may; and while there is none and none is coming, who could be. */
static bool kvm_async_may_park(struct kvm *kvm)
{
	struct kvm_orphan *orphan = kvm->orphan;

	if (kvm_may_ioctl(kvm))
		return true;

	return orphan && READ_ONCE(orphan->state) != KVM_OWNER_PRESENT &&
	       !READ_ONCE(orphan->changes) && kvm_orphan_may_adopt(orphan);
}

/* Ask for it, as one that may; gives as which run it was asked in @runs. */
static long kvm_async_ask_to_park(struct kvm_vcpu *vcpu, u64 *runs)
{
	struct kvm_async *async = vcpu->async;
	struct task_struct *worker = NULL;

	if (!kvm_async_may_park(vcpu->kvm))
		return -EIO;
	if (!async)
		return -EINVAL;

	spin_lock(&async->lock);
	*runs = async->runs;
	if (async->state == KVM_ASYNC_RUNNING)
		worker = kvm_async_interrupt(vcpu, false);
	spin_unlock(&async->lock);
	kvm_async_kick(vcpu, worker);
	return 0;
}

static long kvm_async_park(struct kvm_vcpu *vcpu)
{
	struct kvm_async *async = vcpu->async;
	u64 runs;
	u32 state;
	long r;

	if (!kvm_async_may_park(vcpu->kvm))
		return -EIO;

	/* A lease for the deed only: to wait is harmless, and can be long. */
	atomic_inc(&vcpu->ioctls);
	smp_mb__after_atomic();		/* as in kvm_lease_begin() */
	r = kvm_async_ask_to_park(vcpu, &runs);
	kvm_lease_end(&vcpu->ioctls);
	if (r)
		return r;

	return wait_event_interruptible(async->stopped,
			READ_ONCE(async->runs) != runs ||
			((state = READ_ONCE(async->state)) != KVM_ASYNC_RUNNING &&
			 state != KVM_ASYNC_STOPPING)) ? -EINTR : 0;
}

static u64 kvm_async_pc(struct kvm_vcpu *vcpu)
{
	u64 pc;

	if (READ_ONCE(vcpu->async->state) == KVM_ASYNC_RUNNING ||
	    !mutex_trylock(&vcpu->mutex))
		return 0;

	vcpu_load(vcpu);
	pc = kvm_arch_vcpu_get_pc(vcpu);
	vcpu_put(vcpu);
	mutex_unlock(&vcpu->mutex);
	return pc;
}

static long kvm_async_state(struct kvm_vcpu *vcpu, void __user *argp)
{
	struct kvm_async_state state = {};
	struct kvm_async *async = vcpu->async;

	if (!async)
		return kvm_may_ioctl(vcpu->kvm) ? -EINVAL : -EIO;

	state.pc = kvm_async_pc(vcpu);

	spin_lock(&async->lock);
	state.state = async->state;
	state.exit_reason = async->exit_reason;
	state.error = async->error;
	state.exit_seq = async->exit_seq;
	if (state.state == KVM_ASYNC_RUNNING)
		state.pc = 0;
	spin_unlock(&async->lock);

	return copy_to_user(argp, &state, sizeof(state)) ? -EFAULT : 0;
}

long kvm_async_vcpu_ioctl(struct kvm_vcpu *vcpu, unsigned int ioctl,
			  unsigned long arg)
{
	void __user *argp = (void __user *)arg;

	switch (ioctl) {
	case KVM_RUN_ASYNC:
		return kvm_async_run(vcpu, argp);
	case KVM_ASYNC_PARK:
		return kvm_async_park(vcpu);
	case KVM_ASYNC_STATE:
		return kvm_async_state(vcpu, argp);
	default:
		return -ENOIOCTLCMD;
	}
}

__poll_t kvm_async_vcpu_poll(struct kvm_vcpu *vcpu, struct file *file,
			     struct poll_table_struct *wait)
{
	struct kvm_async *async = vcpu->async;

	if (!async)
		return DEFAULT_POLLMASK;

	poll_wait(file, &async->stopped, wait);
	return READ_ONCE(async->state) == KVM_ASYNC_RUNNING ? 0 :
	       EPOLLIN | EPOLLRDNORM;
}

/*
 * The mapping of struct kvm_run is its owner's, as the ioctls are: what is in it
 * decides what KVM and the VMM do.  It goes with the ownership, so it must be
 * found by the file: such a vCPU's has an inode of its own.
 */
int kvm_async_vcpu_fd(struct kvm_vcpu *vcpu, const char *name,
		      const struct file_operations *fops)
{
	struct file *file;
	int fd;

	if (!vcpu->async)
		return anon_inode_getfd(name, fops, vcpu, O_RDWR | O_CLOEXEC);

	fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0)
		return fd;

	file = anon_inode_create_getfile(name, fops, vcpu, O_RDWR, NULL);
	if (IS_ERR(file)) {
		put_unused_fd(fd);
		return PTR_ERR(file);
	}
	vcpu->async->inode = file_inode(file);
	ihold(vcpu->async->inode);
	fd_install(fd, file);
	return fd;
}

static vm_fault_t kvm_async_vcpu_fault(struct vm_fault *vmf)
{
	struct kvm_vcpu *vcpu = vmf->vma->vm_file->private_data;
	struct page *page = kvm_vcpu_page(vcpu, vmf->pgoff);

	if (!page)
		return VM_FAULT_SIGBUS;

	/* A lease, so that nothing is mapped once mappings were revoked. */
	CLASS(kvm_vcpu_lease, lease)(vcpu);
	if (lease)
		return vmf_insert_pfn(vmf->vma, vmf->address, page_to_pfn(page));
	if (!kvm_orphan_is_leaving(vcpu->kvm->orphan))
		return VM_FAULT_SIGBUS;

	/* Whether it remains the owner will be known soon. */
	usleep_range(100, 200);
	return VM_FAULT_NOPAGE;
}

static const struct vm_operations_struct kvm_async_vcpu_vm_ops = {
	.fault = kvm_async_vcpu_fault,
};

/*
 * By pfn, so that nobody can pin a page and have it when the mapping has gone.
 * A child would have a copy of that, and is not the owner: it gets none.
 */
int kvm_async_vcpu_mmap(struct kvm_vcpu *vcpu, struct vm_area_struct *vma)
{
	if (!vcpu->async)
		return 0;
	if (!(vma->vm_flags & VM_SHARED))
		return -EINVAL;

	vm_flags_set(vma, VM_PFNMAP | VM_IO | VM_DONTCOPY | VM_DONTEXPAND |
		     VM_DONTDUMP);
	vma->vm_ops = &kvm_async_vcpu_vm_ops;
	return 0;
}

/* With all leases over, and no new ones: take the mappings away. */
static void kvm_async_revoke(struct kvm *kvm)
{
	struct kvm_vcpu *vcpu;
	unsigned long i;

	kvm_for_each_vcpu(i, vcpu, kvm)
		unmap_mapping_range(vcpu->async->inode->i_mapping, 0, 0, 1);
}

int kvm_async_vcpu_init(struct kvm_vcpu *vcpu)
{
	struct kvm_async *async;

	BUILD_BUG_ON(sizeof(struct kvm_run) > KVM_ASYNC_PAGE_OFFSET);

	if (!vcpu->kvm->orphan)
		return 0;

	async = kzalloc_obj(*async, GFP_KERNEL_ACCOUNT);
	if (!async)
		return -ENOMEM;

	spin_lock_init(&async->lock);
	init_waitqueue_head(&async->stopped);
	init_waitqueue_head(&async->work);
	vcpu->async = async;
	return 0;
}

/* The last reference to the vCPU's file has gone, mappings included. */
void kvm_async_vcpu_release(struct kvm_vcpu *vcpu)
{
	if (vcpu->async)
		kvm_async_end(vcpu, true);
}

void kvm_async_vcpu_free(struct kvm_vcpu *vcpu)
{
	if (!vcpu->async)
		return;

	iput(vcpu->async->inode);
	kfree(vcpu->async);
	vcpu->async = NULL;
}

/*
 * The VM's owner.
 */

/*
 * With state_lock held, so before anybody can see that the owner has gone: what
 * an adopter finds is what the policy has made of it, and nothing comes after.
 */
static void kvm_orphan_apply_policy(struct kvm_orphan *orphan)
{
	struct kvm *kvm = orphan->kvm;
	struct kvm_vcpu *vcpu;
	unsigned long i;

	lockdep_assert_held(&orphan->state_lock);

	if (orphan->policy == KVM_ORPHAN_RUN)
		return;
	if (orphan->policy == KVM_ORPHAN_KILL)
		kvm_vm_dead(kvm);

	kvm_for_each_vcpu(i, vcpu, kvm)
		kvm_async_end(vcpu, orphan->policy == KVM_ORPHAN_KILL);
}

/* With state_lock held: the VM is an orphan from now on. */
static void kvm_orphan_owner_goes(struct kvm_orphan *orphan)
{
	lockdep_assert_held(&orphan->state_lock);

	WRITE_ONCE(orphan->owner_mm, NULL);
	kvm_async_widen_race();
	kvm_orphan_apply_policy(orphan);
	WRITE_ONCE(orphan->state, KVM_OWNER_GONE);
}

/*
 * The mm of an owner goes.  Nothing of the guest depends on it, but if it is the
 * present owner's, that has gone, too.
 */
static void kvm_owner_mm_release(struct mmu_notifier *mn, struct mm_struct *mm)
{
	struct kvm_owner *owner = container_of(mn, struct kvm_owner, mn);
	struct kvm_orphan *orphan = owner->orphan;

	guard(spinlock)(&orphan->state_lock);
	if (orphan->owner == owner && orphan->state == KVM_OWNER_PRESENT)
		kvm_orphan_owner_goes(orphan);
}

/*
 * Will no thread of it return to userspace?  Then it has gone, though its mm may
 * be there for a long time: as long as a core is dumped, or as others like.
 */
static bool kvm_owner_has_gone(struct kvm_owner *owner)
{
	struct task_struct *task;
	struct mm_struct *mm;

	guard(rcu)();
	task = pid_task(owner->tgid, PIDTYPE_TGID);
	if (!task || !atomic_read(&task->signal->live) ||
	    READ_ONCE(task->signal->flags) & SIGNAL_GROUP_EXIT)
		return true;

	/* It has none if only this thread of several has exited. */
	mm = READ_ONCE(task->mm);
	return mm && mm != owner->mn.mm;
}

/* Somebody asks, and should not be told what was so once. */
static void kvm_orphan_look(struct kvm_orphan *orphan)
{
	guard(spinlock)(&orphan->state_lock);
	if (orphan->state == KVM_OWNER_PRESENT && kvm_owner_has_gone(orphan->owner))
		kvm_orphan_owner_goes(orphan);
}

static const struct mmu_notifier_ops kvm_owner_ops = {
	.release = kvm_owner_mm_release,
};

static struct kvm_owner *kvm_owner_create(struct kvm_orphan *orphan)
{
	struct kvm_owner *owner;
	int r;

	owner = kzalloc_obj(*owner, GFP_KERNEL_ACCOUNT);
	if (!owner)
		return ERR_PTR(-ENOMEM);

	owner->orphan = orphan;
	owner->tgid = get_task_pid(current, PIDTYPE_TGID);
	owner->mn.ops = &kvm_owner_ops;
	r = mmu_notifier_register(&owner->mn, current->mm);
	if (r) {
		put_pid(owner->tgid);
		kfree(owner);
		return ERR_PTR(r);
	}
	return owner;
}

static void kvm_owner_free(struct kvm_owner *owner)
{
	mmu_notifier_unregister(&owner->mn, owner->mn.mm);
	put_pid(owner->tgid);
	kfree(owner);
}

static void kvm_orphan_set_owner(struct kvm_orphan *orphan,
				 struct kvm_owner *owner)
{
	guard(spinlock)(&orphan->state_lock);
	orphan->owner = owner;
	WRITE_ONCE(orphan->owner_tgid, owner->tgid);
	WRITE_ONCE(orphan->owner_mm, current->mm);
	WRITE_ONCE(orphan->state, KVM_OWNER_PRESENT);
}

/*
 * Leases, see kvm_lease_begin().
 */
#define KVM_LEASE_MS	1000

static bool kvm_leases_are_over(struct kvm *kvm)
{
	struct kvm_vcpu *vcpu;
	unsigned long i;

	if (atomic_read(&kvm->ioctls))
		return false;

	/* Only now there will be no other vCPU. */
	smp_rmb();
	kvm_for_each_vcpu(i, vcpu, kvm) {
		if (atomic_read(&vcpu->ioctls))
			return false;
	}
	return true;
}

/* KVM_RUN lasts as long as the guest likes: have those threads come back. */
static void kvm_lease_interrupt(struct kvm *kvm)
{
	struct task_struct *task;
	struct kvm_vcpu *vcpu;
	unsigned long i;

	kvm_for_each_vcpu(i, vcpu, kvm) {
		if (!atomic_read(&vcpu->ioctls) || !READ_ONCE(vcpu->wants_to_run))
			continue;

		read_lock(&vcpu->pid_lock);
		task = get_pid_task(vcpu->pid, PIDTYPE_PID);
		read_unlock(&vcpu->pid_lock);
		if (!task)
			continue;
		if (task->flags & PF_USER_WORKER)
			put_task_struct(task);
		else
			kvm_async_kick(vcpu, task);
	}
}

/*
 * Wait until no ioctl is under way, once no new one can begin.  One may wait for
 * its own caller, by a fault on its arguments, so there is an end to patience.
 */
static int kvm_lease_drain(struct kvm *kvm)
{
	unsigned long end = jiffies + msecs_to_jiffies(KVM_LEASE_MS);

	/* Pairs with kvm_lease_begin(). */
	smp_mb();
	while (!kvm_leases_are_over(kvm)) {
		if (fatal_signal_pending(current))
			return -EINTR;
		if (time_after(jiffies, end))
			return -ETIMEDOUT;

		kvm_lease_interrupt(kvm);
		usleep_range(200, 500);
	}
	/* Pairs with kvm_lease_end(). */
	smp_mb();
	return 0;
}

/* Of no VM: can there be one at all? */
int kvm_orphan_check_extension(struct kvm *kvm, long cap)
{
	if (cap != KVM_CAP_ORPHAN)
		return -ENOIOCTLCMD;

#ifdef CONFIG_X86
	/* As kvm_arch_leave_mm(). */
	if (kvm && kvm->arch.vm_type != KVM_X86_DEFAULT_VM)
		return 0;
#endif
	return BIT(KVM_ORPHAN_RUN) | BIT(KVM_ORPHAN_PARK) | BIT(KVM_ORPHAN_KILL);
}

static int kvm_orphan_enable(struct kvm *kvm, u32 policy)
{
	struct kvm_orphan *orphan;
	struct kvm_owner *owner;
	int r;

	orphan = kzalloc_obj(*orphan, GFP_KERNEL_ACCOUNT);
	if (!orphan)
		return -ENOMEM;

	orphan->kvm = kvm;
	orphan->policy = policy;
	mutex_init(&orphan->lock);
	spin_lock_init(&orphan->state_lock);

	owner = kvm_owner_create(orphan);
	if (IS_ERR(owner)) {
		kfree(orphan);
		return PTR_ERR(owner);
	}
	kvm_orphan_note_rights(orphan);
	kvm_orphan_set_owner(orphan, owner);

	mutex_lock(&kvm->lock);
	mutex_lock(&kvm->slots_lock);
	r = kvm->orphan ? -EBUSY : kvm_leave_mm(kvm);
	if (!r) {
		/* Pairs with the acquire in kvm_may_ioctl(). */
		smp_store_release(&kvm->orphan, orphan);
	}
	mutex_unlock(&kvm->slots_lock);
	mutex_unlock(&kvm->lock);

	if (r) {
		WRITE_ONCE(orphan->state, KVM_OWNER_RELEASED);
		kvm_owner_free(owner);
		put_user_ns(orphan->user_ns);
		kfree(orphan);
	}
	return r;
}

int kvm_orphan_enable_cap(struct kvm *kvm, struct kvm_enable_cap *cap)
{
	if (cap->cap != KVM_CAP_ORPHAN)
		return -ENOIOCTLCMD;

	if (cap->flags || cap->args[0] > KVM_ORPHAN_KILL ||
	    cap->args[1] || cap->args[2] || cap->args[3])
		return -EINVAL;

	return kvm_orphan_enable(kvm, cap->args[0]);
}

static u32 kvm_orphan_state(struct kvm_orphan *orphan)
{
	guard(spinlock)(&orphan->state_lock);
	return orphan->state;
}

static long kvm_orphan_get_state(struct kvm_orphan *orphan, void __user *argp)
{
	struct kvm_orphan_state state = { .policy = orphan->policy };

	kvm_orphan_look(orphan);
	spin_lock(&orphan->state_lock);
	state.state = orphan->state;
	state.generation = orphan->generation;
	spin_unlock(&orphan->state_lock);

	return copy_to_user(argp, &state, sizeof(state)) ? -EFAULT : 0;
}

/*
 * The owner gives the VM up, so that another can have it while both live.  Or it
 * remains the owner, if what its threads do to the VM does not come to an end.
 */
static long kvm_orphan_release(struct kvm_orphan *orphan)
{
	int r;

	guard(mutex)(&orphan->lock);
	if (!kvm_orphan_is_owner(orphan->kvm))
		return -EIO;

	spin_lock(&orphan->state_lock);
	if (orphan->state == KVM_OWNER_PRESENT)
		WRITE_ONCE(orphan->owner_mm, NULL);
	spin_unlock(&orphan->state_lock);

	r = kvm_lease_drain(orphan->kvm);
	if (!r)
		kvm_async_revoke(orphan->kvm);

	guard(spinlock)(&orphan->state_lock);
	/* Somebody has seen that the caller was killed. */
	if (orphan->state != KVM_OWNER_PRESENT)
		return -EINTR;
	if (r)
		WRITE_ONCE(orphan->owner_mm, current->mm);
	else
		WRITE_ONCE(orphan->state, KVM_OWNER_RELEASED);
	return r;
}

/* Nobody is the owner; see that nobody acts as if, and that nobody parks. */
static int kvm_orphan_clear(struct kvm_orphan *orphan)
{
	int r;

	lockdep_assert_held(&orphan->lock);

	WRITE_ONCE(orphan->changes, true);
	r = kvm_lease_drain(orphan->kvm);
	if (r)
		WRITE_ONCE(orphan->changes, false);
	else
		kvm_async_revoke(orphan->kvm);
	return r == -ETIMEDOUT ? -EBUSY : r;
}

static long kvm_orphan_adopt(struct kvm_orphan *orphan, void __user *argp)
{
	struct kvm_owner *owner, *old;
	struct kvm_adopt args;
	u32 state;
	int r;

	if (copy_from_user(&args, argp, sizeof(args)))
		return -EFAULT;
	if ((args.flags & ~KVM_ADOPT_GENERATION) || args.pad ||
	    memchr_inv(args.reserved, 0, sizeof(args.reserved)))
		return -EINVAL;

	guard(mutex)(&orphan->lock);
	/* With the lock held, as the right goes with the last owner. */
	if (!kvm_orphan_may_adopt(orphan))
		return -EPERM;

	kvm_orphan_look(orphan);
	state = kvm_orphan_state(orphan);
	/* In this order: it is dead before it can be seen to have no owner. */
	if (orphan->kvm->vm_dead)
		return -EIO;
	if (state == KVM_OWNER_PRESENT)
		return -EBUSY;
	if ((args.flags & KVM_ADOPT_GENERATION) &&
	    args.generation != orphan->generation)
		return -ESTALE;

	owner = kvm_owner_create(orphan);
	if (IS_ERR(owner))
		return PTR_ERR(owner);
	r = kvm_orphan_clear(orphan);
	if (r) {
		kvm_owner_free(owner);
		return r;
	}

	/* From here on nothing can fail. */
	old = orphan->owner;
	spin_lock(&orphan->state_lock);
	WRITE_ONCE(orphan->generation, orphan->generation + 1);
	spin_unlock(&orphan->state_lock);
	kvm_orphan_note_rights(orphan);
	kvm_orphan_set_owner(orphan, owner);
	WRITE_ONCE(orphan->changes, false);
	kvm_owner_free(old);
	return 0;
}

long kvm_orphan_vm_ioctl(struct kvm *kvm, unsigned int ioctl, unsigned long arg)
{
	/* Pairs with the release in kvm_orphan_enable(). */
	struct kvm_orphan *orphan = smp_load_acquire(&kvm->orphan);
	void __user *argp = (void __user *)arg;

	if (ioctl != KVM_ORPHAN_STATE && ioctl != KVM_ORPHAN_RELEASE &&
	    ioctl != KVM_ADOPT)
		return -ENOIOCTLCMD;

	if (!orphan)
		return kvm_may_ioctl(kvm) ? -EINVAL : -EIO;

	switch (ioctl) {
	case KVM_ORPHAN_STATE:
		return kvm_orphan_get_state(orphan, argp);
	case KVM_ORPHAN_RELEASE:
		return kvm_orphan_release(orphan);
	default:
		return kvm_orphan_adopt(orphan, argp);
	}
}

/* The VM goes, and with it all of its vCPUs' threads have gone. */
void kvm_orphan_destroy(struct kvm *kvm)
{
	struct kvm_orphan *orphan = kvm->orphan;

	if (!orphan)
		return;

	spin_lock(&orphan->state_lock);
	orphan->owner_mm = NULL;
	orphan->state = KVM_OWNER_RELEASED;
	spin_unlock(&orphan->state_lock);

	kvm_owner_free(orphan->owner);
	put_user_ns(orphan->user_ns);
	kvm->orphan = NULL;
	kfree(orphan);
}
