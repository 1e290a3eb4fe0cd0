# ruff: noqa: E501 - lines of code as they stand, longer by their quotes
"""Plausible one-line faults, each with the test that must fail on it (see test_faults.py)."""

from __future__ import annotations

from typing import NamedTuple


class Fault(NamedTuple):
    """A line of the package, what a slip would make of it, and the test that notices.

    Attributes
    ----------
    place : str
        Module or package within sparsecnn; ``chapters`` are the derivations.
    what : str
        The slip in words.
    old, new : str
        The line as it is, found once in that place, and as it would be.
    node : str
        Within tests/.
    """

    place: str
    what: str
    old: str
    new: str
    node: str


FAULTS = [
    Fault(
        "priors.convex",
        "a one-sided penalty with a two-sided dual",
        "        return (-np.inf if self.nonnegative else -edge), edge",
        "        return -edge, edge",
        "test_priors.py::test_the_conjugate_is_the_supremum[ElasticNet(lam=0.5, alpha=0, nonnegative=True)]",
    ),
    Fault(
        "priors.vector",
        "a dual step from a point without its cross term",
        "        disc = xp.sqrt(xp.maximum(linear**2 + quadratic * room, 0.0))",
        "        disc = xp.sqrt(xp.maximum(quadratic * room, 0.0))",
        "test_priors.py::test_every_prior_keeps_its_contract[GroupLaplace(lam=0.7, groups=[0, 1])]",
    ),
    Fault(
        "priors.symbolic",
        "a second change of units forgets the first",
        "        return dataclasses.replace(self, unit=self.unit * float(s))",
        "        return dataclasses.replace(self, unit=float(s))",
        "test_units.py::test_units_may_be_changed_in_two_steps[SymbolicPrior('lam*abs(z) + alpha*z**2/2', lam=0.7, alpha=0.3)]",
    ),
    Fault(
        "priors.convex",
        "the slope in lam without the step",
        '        return xp.abs(sign), {"lam": -step * sign, "step": -lam * sign}',
        '        return xp.abs(sign), {"lam": -sign, "step": -lam * sign}',
        "test_priors.py::test_every_prior_keeps_its_contract[Laplace(lam=0.7)]",
    ),
    Fault(
        "symbolic.intervals",
        "odd powers bounded below by zero",
        "        if n % 2 == 0 and base[0] <= 0 <= base[1]:",
        "        if base[0] <= 0 <= base[1]:",
        "test_explain.py::test_the_interval_of_a_power_holds_its_ends[3]",
    ),
    Fault(
        "symbolic.evidence",
        "a touching root counted as a crossing",
        "        if multiplicity % 2:",
        "        if multiplicity:",
        "test_symbolic.py::test_exact_arithmetic_tells_a_touching_root_from_a_crossing",
    ),
    Fault(
        "derivation.posterior",
        "a truncated mean whose mirrored side is not mirrored back",
        "    return x + np.where(flip, -shift, shift)",
        "    return x + shift",
        "test_derivation.py::test_vector_rows_ill_posed_rows_and_posterior_means_are_verified[mean_uniform]",
    ),
    Fault(
        "derivation.model",
        "a derivation without steps that passes",
        "        return bool(self.evidence) and all(e.passed for found in self.evidence for e in found)",
        "        return all(e.passed for found in self.evidence for e in found)",
        "test_derivation.py::test_undecided_never_counts_as_passed",
    ),
    Fault(
        "chapters.explaining_away",
        "a chapter that claims a negative code",
        "            claimed = np.array([1 - t, max(r - t, 0)])",
        "            claimed = np.array([1 - t, r - t])",
        "test_derivations.py::test_every_step_of_a_chapter_holds[explaining_away]",
    ),
    Fault(
        "chapters.convolution",
        "a chapter whose false twin is true",
        "            left, right = (d.analyze(x) * z).sum(), sign * (x * d.synthesize(z)).sum()",
        "            left, right = (d.analyze(x) * z).sum(), (x * d.synthesize(z)).sum()",
        "test_derivations.py::test_one_wrong_sign_in_a_chapter_is_refuted_with_a_counterexample[convolution]",
    ),
    Fault(
        "dictionaries.filter_bank",
        "overlaps behind left out of the Gram scan",
        "    for y, x in itertools.product(vertical, horizontal):",
        "    for y, x in ((y, x) for y in vertical for x in horizontal if x.ahead):",
        "test_dictionaries.py::test_copies_that_meet_only_along_an_antidiagonal_are_found",
    ),
    Fault(
        "dictionaries.filter_bank",
        "a square dictionary counted as overcomplete",
        "    if n_codes > n_pixels:",
        "    if n_codes >= n_pixels:",
        "test_dictionaries.py::test_coherence_and_gram_deviation_are_those_of_the_explicit_gram_matrix",
    ),
    Fault(
        "dictionaries.filter_bank",
        "the farthest overlap on one side left out",
        "            others = range(i if axis == 0 else max(i - reach, 0), min(i + reach, positions - 1) + 1)",
        "            others = range(i if axis == 0 else max(i - reach + 1, 0), min(i + reach, positions - 1) + 1)",
        "test_dictionaries.py::test_coherence_and_gram_deviation_are_those_of_the_explicit_gram_matrix",
    ),
    Fault(
        "solvers.proximal_gradient",
        "momentum never restarted",
        "            uphill = xp.sum((point - codes) * change / step, axis=axes, keepdims=True) > 0",
        "            uphill = xp.sum((point - codes) * change / step, axis=axes, keepdims=True) > np.inf",
        "test_solvers.py::test_fista_restarts_where_momentum_points_uphill",
    ),
    Fault(
        "solvers.proximal_gradient",
        "another sequence of momenta",
        "                codes + xp.where(uphill, xp.zeros_like(momentum), (momentum - 1) / faster) * change",
        "                codes + xp.where(uphill, xp.zeros_like(momentum), momentum / faster) * change",
        "test_solvers.py::test_fista_takes_the_points_of_nesterovs_sequence",
    ),
    Fault(
        "solvers.lca",
        "a time step above one",
        "        step = min(1.0, safe_step(problem)) if self.step is None else self.step",
        "        step = safe_step(problem) if self.step is None else self.step",
        "test_solvers.py::test_the_time_step_of_lca_is_one_over_the_lipschitz_constant_and_at_most_one[0.5-1.0]",
    ),
    Fault(
        "solvers.base",
        "the iterations in single precision not counted",
        "        self.n_iter[where] = spent[local] + iteration",
        "        self.n_iter[where] = iteration",
        "test_solvers.py::test_iterations_in_both_precisions_are_counted",
    ),
    Fault(
        "solvers.base",
        "one step too many",
        "            iterates = itertools.islice(solver.iterates(problem, start), steps - 1, None)",
        "            iterates = itertools.islice(solver.iterates(problem, start), steps, None)",
        "test_solvers.py::test_unrolled_is_that_iterate_whatever_it_reaches[2-Laplace-float64]",
    ),
    Fault(
        "symbolic.conjugate",
        "a conjugate without what cancelled",
        "    reached = line - level + lost + np.where(a < b, left_open, 0.0)",
        "    reached = line - level + np.where(a < b, left_open, 0.0)",
        "test_soundness.py::test_a_gap_holds_where_a_signal_is_beyond_slopes_that_level_off",
    ),
    Fault(
        "derivation.inverse",
        "a conjugate of an activation without what cancelled",
        "            both.append(self._potential(x) - 0.5 * z**2 + lost)",
        "            both.append(self._potential(x) - 0.5 * z**2)",
        "test_soundness.py::test_the_conjugate_of_an_explained_activation_is_not_too_small_far_out[x - asinh(x)]",
    ),
    Fault(
        "solvers.forward",
        "calibration that does not try the zero code",
        "    candidates = np.stack([0.5 * (low + high), np.ones_like(high), np.zeros_like(high)])",
        "    candidates = np.stack([0.5 * (low + high), np.ones_like(high)])",
        "test_solvers.py::test_calibration_prefers_silence_to_a_code_that_costs_more",
    ),
    Fault(
        "duality",
        "an unobserved batch taken for an unbounded energy",
        "        complete = attained and len(directions) == pixels",
        "        complete = len(directions) == pixels",
        "test_duality.py::test_masks_that_leave_each_sample_bounded_are_not_taken_for_an_unbounded_batch",
    ),
    Fault(
        "duality",
        "the multiples of a dual point scaled the wrong way",
        "        return dataclasses.replace(self, multiples=(least / s, most / s))",
        "        return dataclasses.replace(self, multiples=(least * s, most * s))",
        "test_scales.py::test_a_tiny_signal_under_a_negative_rate_gets_the_code_the_rate_asks_for",
    ),
    Fault(
        "duality",
        "a bounded dual set taken for a cone",
        "    return float(np.sqrt(least)), 1.0 if bounds[np.isfinite(bounds)].any() else np.inf",
        "    return float(np.sqrt(least)), np.inf",
        "test_duality.py::test_one_rate_of_zero_bounds_how_large_a_dual_point_may_be[1.0]",
    ),
    Fault(
        "problem",
        "the energy at the prior's mode without the mask",
        "        image = image if self.mask is None else image * self.mask",
        "        image = image",
        "test_duality.py::test_the_energy_that_a_gap_is_relative_to_ignores_masked_pixels",
    ),
    Fault(
        "problem",
        "a gap in units to the first power",
        "            gap = np.ldexp(part.dual_gap, 2 * exponent)",
        "            gap = np.ldexp(part.dual_gap, exponent)",
        "test_scales.py::test_an_absolute_gap_scales_with_the_square_of_the_data[-400]",
    ),
    Fault(
        "problem",
        "a residual without the mask",
        "        return difference if self.mask is None else difference * self.mask",
        "        return difference",
        "test_problem.py::test_a_mask_equals_the_problem_with_the_hidden_pixels_deleted",
    ),
    Fault(
        "layers",
        "filters turned along one axis only",
        "        return filters[:, :, ::-1, ::-1] if self.flip else filters",
        "        return filters[:, :, ::-1] if self.flip else filters",
        "test_layers.py::test_flip_makes_a_true_convolution[0]",
    ),
    Fault(
        "layers",
        "the gradient of an L2 pool one percent off",
        "            gain = np.divide(dy, norm, out=np.zeros_like(dy), where=norm != 0)",
        "            gain = np.divide(1.01 * dy, norm, out=np.zeros_like(dy), where=norm != 0)",
        "test_layers.py::test_the_gradient_of_an_l2_pool_is_the_window_s_direction_in_every_unit[1e-300]",
    ),
    Fault(
        "layers",
        "a bias gradient averaged over the batch",
        '                grads["bias"] = dy.sum(axis=(0, 2, 3))',
        '                grads["bias"] = dy.sum(axis=(2, 3)).mean(axis=0)',
        "test_layers.py::test_a_layer_keeps_its_contract[Conv2D]",
    ),
    Fault(
        "layers",
        "the gradient of flipped filters not flipped back",
        '            grads = {"filters": self._oriented(engine.filter_gradient(geometry, x, dy))}',
        '            grads = {"filters": engine.filter_gradient(geometry, x, dy)}',
        "test_layers.py::test_a_layer_keeps_its_contract[Conv2D flipped]",
    ),
    Fault(
        "network",
        "classes lost when parameters change",
        "        return Network(layers, self.input_shape, self.classes)",
        "        return Network(layers, self.input_shape)",
        "test_network.py::test_a_network_predicts_its_classes_also_from_its_file[a column a class-texts]",
    ),
    Fault(
        "network",
        "a logit compared with one half",
        "        index = scores.argmax(axis=1) if n_outputs > 1 else (scores[:, 0] > 0).astype(np.intp)",
        "        index = scores.argmax(axis=1) if n_outputs > 1 else (scores[:, 0] > 0.5).astype(np.intp)",
        "test_network.py::test_a_network_predicts_its_classes_also_from_its_file[one column for two-texts]",
    ),
    Fault(
        "activations",
        "a leaky slope that is 1 + slope above zero",
        "    return y, slope + (1 - slope) * _step(xp, x > 0, x)",
        "    return y, slope + _step(xp, x > 0, x)",
        "test_activations.py::test_values_and_slopes_are_right_to_a_few_ulps_from_the_smallest_to_the_largest[leaky_relu-float32]",
    ),
    Fault(
        "activations",
        "the slope of SELU without its scale",
        "        return scale * y, scale * slope * xp.exp(low)",
        "        return scale * y, slope * xp.exp(low)",
        "test_activations.py::test_values_and_slopes_are_right_to_a_few_ulps_from_the_smallest_to_the_largest[selu-float32]",
    ),
    Fault(
        "hierarchy",
        "pools fed the sizes of codes",
        "        return codes if self.pool is None else self.pool.forward(codes)[0]",
        "        return codes if self.pool is None else self.pool.forward(np.abs(codes))[0]",
        "test_hierarchy.py::test_pools_are_fed_the_codes_with_their_signs[max]",
    ),
    Fault(
        "hierarchy",
        "a negative rate made a negative bias",
        "        return np.broadcast_to(-np.asarray(prior.lam), (n_atoms,)).copy(), Activation(NonNegative())",
        "        return np.broadcast_to(-np.abs(prior.lam), (n_atoms,)).copy(), Activation(NonNegative())",
        "test_hierarchy.py::test_one_step_codes_are_the_forward_pass_of_the_network",
    ),
    Fault(
        "hierarchy",
        "a readout without its signs",
        "            weights = np.atleast_2d(readout.coef_)",
        "            weights = np.atleast_2d(np.abs(readout.coef_))",
        "test_hierarchy.py::test_the_folded_readout_is_the_regression_on_standardised_codes[2]",
    ),
    Fault(
        "estimators.hierarchies",
        "a folded intercept one percent off",
        "            readout.intercept_ = (readout.intercept_ - slope @ scaler.mean_).astype(features.dtype)",
        "            readout.intercept_ = (readout.intercept_ - 1.01 * slope @ scaler.mean_).astype(features.dtype)",
        "test_hierarchy.py::test_the_folded_readout_is_the_regression_on_standardised_codes[2]",
    ),
    Fault(
        "estimators.learners",
        "a stale certificate after partial_fit",
        '        for name in ("gap_", "dual_gap_", "converged_", "n_iter_"):',
        '        for name in ("gap_", "converged_", "n_iter_"):',
        "test_estimators.py::test_the_certificates_of_training_codes_go_when_learning_goes_on[DictionaryLearner]",
    ),
    Fault(
        "estimators.layerwise",
        "random atoms turned away from the signals",
        "    signs = np.where(response < 0, -1.0, 1.0).reshape((-1,) + (1,) * (dictionary.atoms.ndim - 1))",
        "    signs = np.where(response > 0, -1.0, 1.0).reshape((-1,) + (1,) * (dictionary.atoms.ndim - 1))",
        "test_estimators.py::test_random_filters_face_the_images_so_that_no_level_is_silent[0]",
    ),
    Fault(
        "learning",
        "dead atoms reborn from what is explained best",
        "        self._pieces = sorted(self._pieces, key=lambda piece: -piece[0])[:64]",
        "        self._pieces = sorted(self._pieces, key=lambda piece: piece[0])[:64]",
        "test_estimators.py::test_an_atom_that_is_never_used_is_reborn_from_what_is_explained_worst[1.0]",
    ),
    Fault(
        "learning",
        "filters reborn from the window with the least residual",
        "    y, x = np.unravel_index(np.argmax(inside), inside.shape)",
        "    y, x = np.unravel_index(np.argmin(inside), inside.shape)",
        "test_estimators.py::test_a_filter_is_reborn_from_the_window_with_the_largest_residual",
    ),
    Fault(
        "comparison.measures",
        "two empty supports that do not agree",
        "    return np.where(either > 0, both / np.maximum(either, 1), 1.0)",
        "    return np.where(either > 0, both / np.maximum(either, 1), 0.0)",
        "test_comparison.py::test_rows_are_the_averages_one_computes_by_hand[prior0]",
    ),
    Fault(
        "comparison.measures",
        "an error relative to the wrong code",
        "    distance, size = norms(codes - reference), norms(reference)",
        "    distance, size = norms(codes - reference), norms(codes)",
        "test_comparison.py::test_rows_are_the_averages_one_computes_by_hand[prior0]",
    ),
    Fault(
        "regions.piecewise",
        "pool windows with strides swapped",
        "    windows = windows[:, :: layer.stride[0], :: layer.stride[1]]",
        "    windows = windows[:, :: layer.stride[1], :: layer.stride[0]]",
        "test_regions_networks.py::test_a_max_pool_of_other_strides_down_than_across[size0-stride0-shape0-16]",
    ),
    Fault(
        "regions.sampling",
        "Chao's estimate with a misplaced bracket",
        "        return self.sampled + self.n_once * (self.n_once - 1) / (2 * (self.n_twice + 1))",
        "        return self.sampled + self.n_once * (self.n_once - 1) / (2 * self.n_twice + 1)",
        "test_regions_neighbours.py::test_the_estimate_is_chaos",
    ),
    Fault(
        "regions.redundancy",
        "units centred by one common mean",
        "    centred = x - x.mean(axis=0)",
        "    centred = x - x.mean()",
        "test_regions_neighbours.py::test_redundancy_is_about_how_units_vary_and_not_about_their_means",
    ),
    Fault(
        "cli.arguments",
        "a rate of zero refused on the command line",
        '    if rate is None or not 0 <= rate < float("inf"):',
        '    if rate is None or not 0 < rate < float("inf"):',
        "test_cli.py::test_a_rate_may_be_zero[0]",
    ),
    Fault(
        "cli.compare",
        "exit code 0 when one of two levels has converged",
        "    return EXIT_OK if all(row.converged == 1 for row in exact) else EXIT_NOT_CONVERGED",
        "    return EXIT_OK if any(row.converged == 1 for row in exact) else EXIT_NOT_CONVERGED",
        "test_cli.py::test_a_level_that_converged_does_not_hide_one_that_did_not",
    ),
    Fault(
        "report",
        "the best readout by its accuracy under noise",
        "    best = max(readouts, key=lambda row: row.accuracy[noises[0]])",
        "    best = max(readouts, key=lambda row: row.accuracy[noises[-1]])",
        "test_report.py::test_the_highest_accuracy_is_the_one_without_noise",
    ),
    Fault(
        "report",
        "a fraction printed as points",
        "    return 100 * plots.standard_error(comparison, rates).max()",
        "    return plots.standard_error(comparison, rates).max()",
        "test_report.py::test_the_standard_error_is_the_largest_binomial_one_in_points",
    ),
    Fault(
        "persistence",
        "keyword-only arguments not saved",
        "    return [p.name for p in every if p.kind is not p.VAR_KEYWORD]",
        "    return [p.name for p in every if p.kind is p.POSITIONAL_OR_KEYWORD]",
        "test_storage.py::test_a_prior_comes_back_with_equal_prox_and_value[SymbolicPrior('lam*log(1 + abs(z)/eps)', lam=[0.5, 2], eps=1)]",
    ),
    Fault(
        "storage",
        "an array stored by columns read by rows",
        '    return flat.reshape(shape, order="F" if by_columns else "C")',
        "    return flat.reshape(shape)",
        "test_storage.py::test_a_layer_comes_back_with_equal_outputs_and_gradients[Linear by columns-float32]",
    ),
    Fault(
        "storage",
        "a save under way cleared, an abandoned one kept",
        "            if time.time() - part.stat().st_mtime > ABANDONED:",
        "            if time.time() - part.stat().st_mtime < ABANDONED:",
        "test_storage.py::test_what_a_killed_save_left_goes_after_an_hour",
    ),
    Fault(
        "datasets",
        "big-endian files read as little-endian",
        '    return np.frombuffer(body, dtype=dtype).reshape(shape).astype(dtype.newbyteorder("="))',
        '    return np.frombuffer(body, dtype=dtype.newbyteorder("<")).reshape(shape).astype(dtype.newbyteorder("="))',
        "test_datasets.py::test_every_idx_type_and_shape_comes_back",
    ),
    Fault(
        "datasets",
        "width and height of a file swapped",
        '    shape = struct.unpack(f">{start[3]}I", dims)',
        '    shape = struct.unpack(f">{start[3]}I", dims)[::-1]',
        "test_datasets.py::test_every_idx_type_and_shape_comes_back",
    ),
    Fault(
        "plots",
        "histograms beside other solvers' names",
        "        base = len(names) - 1 - k",
        "        base = k",
        "test_plots.py::test_gap_histograms_count_every_sample",
    ),
    Fault(
        "plots",
        "a standard error that falls like 1 / n",
        "    return np.sqrt(accuracy * (1 - accuracy) / n_images)",
        "    return np.sqrt(accuracy * (1 - accuracy)) / n_images",
        "test_plots.py::test_accuracies_carry_one_standard_error",
    ),
    Fault(
        "engine.numpy_engine",
        "one workspace for both precisions",
        "    key = (geometry, n, dtype)",
        "    key = (geometry, n)",
        "test_engine.py::test_double_precision_after_single_is_double",
    ),
    Fault(
        "engine.numpy_engine",
        "columns wrapped at the height of the image",
        "        self._wraps = _wrapped_runs(height, bottom), _wrapped_runs(width, right)",
        "        self._wraps = _wrapped_runs(height, bottom), _wrapped_runs(height, right)",
        "test_engine.py::test_circular_positions_cover_the_pixels_they_name",
    ),
    Fault(
        "validation",
        "zero accepted as a positive number",
        "    too_low = (positive and not found > 0) or (minimum is not None and not found >= minimum)",
        "    too_low = (positive and not found >= 0) or (minimum is not None and not found >= minimum)",
        "test_bad_input.py::test_a_solver_step_that_is_not_positive_is_refused[0-ISTA]",
    ),
    Fault(
        "checks.priors",
        "firm non-expansiveness not asked of convex priors",
        "    floor = squared if prior.is_convex else np.zeros_like(along)",
        "    floor = np.zeros_like(along)",
        "test_checks.py::test_a_broken_prior_is_found_and_its_fault_is_named[ClaimsConvexity-str]",
    ),
    Fault(
        "checks.priors",
        "one zero taken for a dead zone",
        "        dead = zeros[1:] & zeros[:-1]",
        "        dead = zeros[1:] & ~zeros[:-1]",
        "test_priors.py::test_every_prior_keeps_its_contract[Gaussian(alpha=0.8)]",
    ),
]
