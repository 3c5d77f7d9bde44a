// SPDX-License-Identifier: GPL-2.0-only
/* The memory of a resident guest: pinned, and listed for the caretaker as runs of pages. */
#include <linux/file.h>
#include <linux/gfp.h>
#include <linux/lockdep.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/pagemap.h>
#include <linux/random.h>
#include <linux/slab.h>

#include "vcpu.h"

static DEFINE_MUTEX(guests_lock);
static LIST_HEAD(guests);

static struct guest *find_guest(struct inode *inode)
{
	struct guest *guest;

	lockdep_assert_held(&guests_lock);
	list_for_each_entry(guest, &guests, list)
		if (guest->inode == inode)
			return guest;
	return NULL;
}

/* The guest that has this memory, a new one if none of its vCPUs has a file yet. */
static struct guest *get_guest(struct inode *inode)
{
	struct guest *guest;

	guard(mutex)(&guests_lock);
	guest = find_guest(inode);
	if (!guest) {
		guest = kzalloc(sizeof(*guest), GFP_KERNEL);
		if (!guest)
			return NULL;
		guest->inode = inode;
		get_random_bytes(guest->id, sizeof(guest->id));
		list_add(&guest->list, &guests);
	}
	guest->vcpus++;
	return guest;
}

static void put_guest(struct guest *guest)
{
	guard(mutex)(&guests_lock);
	if (--guest->vcpus)
		return;
	list_del(&guest->list);
	kfree(guest);
}

/**
 * caretaker_unpin_memory() - release the memory of a vCPU
 * @vcpu: the vCPU; it does not run
 *
 * Context: the file's mutex is held, or the file is being released.
 */
void caretaker_unpin_memory(struct vcpu_file *vcpu)
{
	while (vcpu->nfolios)
		folio_put(vcpu->folios[--vcpu->nfolios]);
	kvfree(vcpu->folios);
	if (vcpu->guest)
		put_guest(vcpu->guest);
	vcpu->guest = NULL;
	if (vcpu->memory)
		fput(vcpu->memory);
	vcpu->folios = NULL;
	vcpu->memory = NULL;
}

/**
 * caretaker_memory_is_preserved() - has a LUO session this memory?
 * @file: memfd or guest_memfd
 *
 * Return: true if it has: all of its pages are there, and none is moved or freed.
 */
bool caretaker_memory_is_preserved(struct file *file)
{
	return mapping_preserved(file->f_mapping);
}

struct lists {
	struct caretaker_vcpu *v;
	struct caretaker_memory *page;
	unsigned int runs;
};

static int add_run(struct lists *l, u64 gpa, u64 pa)
{
	struct caretaker_memory *last = l->runs ? &l->page[l->runs - 1] : NULL;

	if (last) {
		u64 pages = last->pa & ~PAGE_MASK;

		if (pages < PAGE_SIZE - 1 && last->gpa + pages * PAGE_SIZE == gpa &&
		    (last->pa & PAGE_MASK) + pages * PAGE_SIZE == pa) {
			last->pa++;
			return 0;
		}
	}
	if (!l->page || l->runs == CARETAKER_RUNS) {
		if (l->v->lists == CARETAKER_LISTS)
			return -E2BIG;
		l->page = (void *)get_zeroed_page(GFP_KERNEL);
		if (!l->page)
			return -ENOMEM;
		l->v->list[l->v->lists++] = __pa(l->page);
		l->runs = 0;
	}
	l->page[l->runs++] = (struct caretaker_memory){ .gpa = gpa, .pa = pa | 1 };
	return 0;
}

static int add_region(struct vcpu_file *vcpu, struct lists *l, const struct caretaker_region *region)
{
	u64 size = i_size_read(file_inode(vcpu->memory)), at;
	long i;

	if ((region->gpa | region->offset | region->size) & ~PAGE_MASK || !region->size ||
	    region->offset > size || region->size > size - region->offset)
		return -EINVAL;
	/* Folios are in order, and there are no holes. */
	for (i = 0, at = 0; i < vcpu->nfolios; i++) {
		struct folio *folio = vcpu->folios[i];
		u64 n, from = (u64)folio->index << PAGE_SHIFT;

		for (n = 0; n < folio_size(folio); n += PAGE_SIZE) {
			at = from + n;
			if (at < region->offset || at - region->offset >= region->size)
				continue;
			if (add_run(l, region->gpa + at - region->offset,
				    PFN_PHYS(folio_pfn(folio)) + n))
				return -E2BIG;
		}
	}
	return 0;
}

/* The session may be closed before the vCPU is: the pages must not be freed. */
static int pin_memory(struct vcpu_file *vcpu)
{
	pgoff_t n = i_size_read(file_inode(vcpu->memory)) >> PAGE_SHIFT, at = 0;
	struct folio *folio;

	vcpu->folios = kvmalloc_array(n, sizeof(*vcpu->folios), GFP_KERNEL);
	if (!vcpu->folios)
		return -ENOMEM;
	while (at < n) {
		folio = filemap_get_folio(vcpu->memory->f_mapping, at);
		if (IS_ERR(folio))
			return PTR_ERR(folio);
		vcpu->folios[vcpu->nfolios++] = folio;
		at = folio_next_index(folio);
	}
	return 0;
}

/**
 * caretaker_list_memory() - pin a guest's memory, and list it for the caretaker
 * @vcpu: the vCPU, with its file of memory; it becomes one of a guest
 * @v: where the addresses of the lists go; caretaker_free_lists() frees them
 * @regions: what is where in the guest
 * @n: number of regions
 *
 * Context: the file's mutex is held.
 * Return: 0; -EINVAL: a region is not in the file; -E2BIG: too many runs; -ENOMEM. What
 * was pinned stays pinned.
 */
int caretaker_list_memory(struct vcpu_file *vcpu, struct caretaker_vcpu *v,
			  const struct caretaker_region *regions, u32 n)
{
	struct lists lists = { .v = v };
	int err;
	u32 i;

	lockdep_assert_held(&vcpu->lock);
	vcpu->guest = get_guest(file_inode(vcpu->memory));
	if (!vcpu->guest)
		return -ENOMEM;
	err = pin_memory(vcpu);
	for (i = 0; !err && i < n; i++)
		err = add_region(vcpu, &lists, &regions[i]);
	return err;
}

/**
 * caretaker_free_lists() - free what caretaker_list_memory() made
 * @v: with the addresses of the lists; none afterwards
 */
void caretaker_free_lists(struct caretaker_vcpu *v)
{
	while (v->lists)
		free_page((unsigned long)__va(v->list[--v->lists]));
}
