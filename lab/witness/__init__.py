# SPDX-License-Identifier: Apache-2.0
"""What is known of a guest without asking whoever is under test, and what follows from it."""
