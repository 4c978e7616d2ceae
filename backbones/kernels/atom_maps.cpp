#include "backbones/kernels/atom_maps.h"

#include <torch/autograd.h>

#include "backbones/kernels/loops.h"

namespace fewatoms {
namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

/// Gradients by the maps, as the pairs (gradient of y, atoms) that they come from. A backward pass without a graph of
/// its own collects them here, and Collect, whose turn comes when all have been, sums them in one sweep over the maps.
struct Pending : torch::CustomClassHolder {
  std::vector<Tensor> gradients;  // [n, h+2, w+2, out], the border zero
  std::vector<Tensor> atoms;
};
using PendingPointer = c10::intrusive_ptr<torch::CustomClassHolder>;

loops::AtomShape shape_of(const Tensor& maps) {
  return {maps.size(0), maps.size(2) - 2, maps.size(3) - 2, maps.size(1), maps.size(4)};
}

/// y [n, out, h, w] as the loops read it: [n, h, w, out].
Tensor pixels_first(const Tensor& y) { return y.permute({0, 2, 3, 1}).contiguous(); }

Tensor padded(const Tensor& g) { return at::constant_pad_nd(pixels_first(g), {0, 0, 1, 1, 1, 1}); }

Tensor sum_maps(const Tensor& like, const std::vector<Tensor>& padded_gradients, const std::vector<Tensor>& atoms) {
  Tensor maps = at::empty(like.sizes(), like.options());
  AT_DISPATCH_FLOATING_TYPES(maps.scalar_type(), "maps_gradient", [&] {
    std::vector<const scalar_t*> g, psi;
    for (const Tensor& t : padded_gradients) g.push_back(t.data_ptr<scalar_t>());
    for (const Tensor& t : atoms) psi.push_back(t.data_ptr<scalar_t>());
    loops::loops<scalar_t>().maps_gradient(shape_of(like), static_cast<int64_t>(g.size()), g.data(), psi.data(),
                                           maps.data_ptr<scalar_t>());
  });
  return maps;
}

// The convolution is bilinear in maps and atoms: it and its two gradients are each other's derivatives.
Tensor convolve(const Tensor& maps, const Tensor& atoms, const PendingPointer& pending);
Tensor gradient_by_atoms(const Tensor& maps, const Tensor& g, const PendingPointer& pending);
Tensor gradient_by_maps(const Tensor& maps, const Tensor& g, const Tensor& atoms);

void keep(AutogradContext* ctx, const PendingPointer& pending) {
  if (pending) ctx->saved_data["pending"] = at::IValue::make_capsule(pending);
}
PendingPointer kept(const AutogradContext* ctx) {
  const auto found = ctx->saved_data.find("pending");
  return found == ctx->saved_data.end() ? PendingPointer() : found->second.toCapsule();
}

/// The gradient by the maps: at once where it is to be differentiated again or where no Collect waits for it (`pending`
/// is null), otherwise later, with all others.
Tensor now_or_later(const Tensor& maps, const Tensor& g, const Tensor& atoms, const PendingPointer& pending) {
  if (!pending || at::GradMode::is_enabled()) return gradient_by_maps(maps, g, atoms);
  auto& later = static_cast<Pending&>(*pending);
  later.gradients.push_back(padded(g));
  later.atoms.push_back(atoms.contiguous());
  return Tensor();
}

struct Convolve : Function<Convolve> {
  static Tensor forward(AutogradContext* ctx, const Tensor& maps, const Tensor& atoms, const PendingPointer& pending) {
    const loops::AtomShape d = shape_of(maps);
    Tensor y = at::empty({d.n, d.c, d.h, d.w}, maps.options().memory_format(at::MemoryFormat::ChannelsLast));
    AT_DISPATCH_FLOATING_TYPES(maps.scalar_type(), "apply_atoms", [&] {
      loops::loops<scalar_t>().apply_atoms(d, maps.data_ptr<scalar_t>(), atoms.data_ptr<scalar_t>(),
                                           y.data_ptr<scalar_t>());
    });
    ctx->save_for_backward({maps, atoms});
    keep(ctx, pending);
    return y;
  }
  static variable_list backward(AutogradContext* ctx, variable_list g) {
    const auto saved = ctx->get_saved_variables();
    const PendingPointer pending = kept(ctx);
    return {ctx->needs_input_grad(0) ? now_or_later(saved[0], g[0], saved[1], pending) : Tensor(),
            ctx->needs_input_grad(1) ? gradient_by_atoms(saved[0], g[0], pending) : Tensor(), Tensor()};
  }
};

struct GradientByAtoms : Function<GradientByAtoms> {
  static Tensor forward(AutogradContext* ctx, const Tensor& maps, const Tensor& g, const PendingPointer& pending) {
    const loops::AtomShape d = shape_of(maps);
    Tensor atoms = at::empty({d.atoms, 3, 3}, at::kDouble);
    const Tensor pixels = pixels_first(g);
    AT_DISPATCH_FLOATING_TYPES(maps.scalar_type(), "atoms_gradient", [&] {
      loops::loops<scalar_t>().atoms_gradient(d, maps.data_ptr<scalar_t>(), pixels.data_ptr<scalar_t>(),
                                              atoms.data_ptr<double>());
    });
    ctx->save_for_backward({maps, g});
    keep(ctx, pending);
    return atoms.to(maps.scalar_type());
  }
  static variable_list backward(AutogradContext* ctx, variable_list v) {
    const auto saved = ctx->get_saved_variables();
    const PendingPointer pending = kept(ctx);
    return {ctx->needs_input_grad(0) ? now_or_later(saved[0], saved[1], v[0], pending) : Tensor(),
            ctx->needs_input_grad(1) ? convolve(saved[0], v[0], pending) : Tensor(), Tensor()};
  }
};

/// `like` gives the shape of the maps alone. Its own gradient u has their shape and stands where they do in the next
/// derivatives, but no Collect waits behind it: nothing of those may stay pending.
struct GradientByMaps : Function<GradientByMaps> {
  static Tensor forward(AutogradContext* ctx, const Tensor& like, const Tensor& g, const Tensor& atoms) {
    ctx->save_for_backward({g, atoms});
    return sum_maps(like, {padded(g)}, {atoms.contiguous()});
  }
  static variable_list backward(AutogradContext* ctx, variable_list u) {
    const auto saved = ctx->get_saved_variables();
    return {Tensor(), ctx->needs_input_grad(1) ? convolve(u[0], saved[1], PendingPointer()) : Tensor(),
            ctx->needs_input_grad(2) ? gradient_by_atoms(u[0], saved[0], PendingPointer()) : Tensor()};
  }
};

/// The maps as they are; backwards, the sum of what is pending.
struct Collect : Function<Collect> {
  static Tensor forward(AutogradContext* ctx, const Tensor& maps, const PendingPointer& pending) {
    ctx->set_materialize_grads(false);
    keep(ctx, pending);
    ctx->save_for_backward({maps});
    return maps.alias();
  }
  static variable_list backward(AutogradContext* ctx, variable_list g) {
    auto& pending = static_cast<Pending&>(*kept(ctx));
    Tensor sum = g[0];
    if (!pending.gradients.empty()) {
      const Tensor more = sum_maps(ctx->get_saved_variables()[0], pending.gradients, pending.atoms);
      sum = sum.defined() ? sum + more : more;
      pending.gradients.clear();
      pending.atoms.clear();
    }
    return {sum, Tensor()};
  }
};

Tensor convolve(const Tensor& maps, const Tensor& atoms, const PendingPointer& pending) {
  return Convolve::apply(maps.contiguous(), atoms.contiguous(), pending);
}
Tensor gradient_by_atoms(const Tensor& maps, const Tensor& g, const PendingPointer& pending) {
  return GradientByAtoms::apply(maps.contiguous(), g, pending);
}
Tensor gradient_by_maps(const Tensor& maps, const Tensor& g, const Tensor& atoms) {
  return GradientByMaps::apply(maps, g, atoms);
}

/// maps[n, m] = x[n] mix[m] for x [n, pixels, in] and mix [M, in, out]. Its gradients, if they are to be differentiated
/// again, are LibTorch's own products.
struct Mix : Function<Mix> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x, const Tensor& mix) {
    const int64_t n = x.size(0), pixels = x.size(1), in = x.size(2), m = mix.size(0), out = mix.size(2);
    Tensor maps = at::empty({n, m, pixels, out}, x.options());
    AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "mix", [&] {
      const auto *from = x.data_ptr<scalar_t>(), *by = mix.data_ptr<scalar_t>();
      for (int64_t plane = 0; plane < n * m; ++plane)
        loops::loops<scalar_t>().multiply(pixels, out, in, from + plane / m * pixels * in, in, 1,
                                          by + plane % m * in * out, out,
                                          maps.data_ptr<scalar_t>() + plane * pixels * out, out, false);
    });
    ctx->save_for_backward({x, mix});
    return maps;
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    const Tensor &x = saved[0], &mix = saved[1], g = grads[0].contiguous();
    if (at::GradMode::is_enabled()) return {at::einsum("nmpo,mio->npi", {g, mix}), at::einsum("npi,nmpo->mio", {x, g})};
    const int64_t n = x.size(0), pixels = x.size(1), in = x.size(2), m = mix.size(0), out = mix.size(2);
    const bool by_x = ctx->needs_input_grad(0), by_mix = ctx->needs_input_grad(1);
    Tensor gx = by_x ? at::empty_like(x) : Tensor(), gmix = by_mix ? at::empty_like(mix) : Tensor();
    const Tensor turned = mix.transpose(1, 2).contiguous();  // [M, out, in]
    AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "mix_backward", [&] {
      const auto& l = loops::loops<scalar_t>();
      for (int64_t plane = 0; plane < n * m; ++plane) {
        const int64_t image = plane / m, atom = plane % m;
        const auto* from = g.data_ptr<scalar_t>() + plane * pixels * out;
        if (by_x)
          l.multiply(pixels, in, out, from, out, 1, turned.data_ptr<scalar_t>() + atom * in * out, in,
                     gx.data_ptr<scalar_t>() + image * pixels * in, in, atom > 0);
        if (by_mix)
          l.multiply(in, out, pixels, x.data_ptr<scalar_t>() + image * pixels * in, 1, in, from, out,
                     gmix.data_ptr<scalar_t>() + atom * in * out, out, image > 0);
      }
    });
    return {gx, gmix};
  }
};

}  // namespace

AtomMaps make_atom_maps(const Tensor& x, const Tensor& coefficients) {
  const int64_t out = coefficients.size(0), in = coefficients.size(1), m = coefficients.size(2);
  const Tensor mix = coefficients.permute({2, 1, 0}).contiguous();  // [M, in, out]
  const Tensor bordered = at::constant_pad_nd(pixels_first(x), {0, 0, 1, 1, 1, 1});
  const Tensor flat = bordered.flatten(1, 2);  // [n, pixels, in]
  const bool fits = in >= loops::kLeastChannels && out >= loops::kLeastChannels;
  const Tensor mixed = fits ? Mix::apply(flat, mix) : at::einsum("npi,mio->nmpo", {flat, mix}).contiguous();
  AtomMaps result;
  result.pending = c10::make_intrusive<Pending>();
  result.maps = Collect::apply(mixed.view({x.size(0), m, bordered.size(1), bordered.size(2), out}), result.pending);
  return result;
}

Tensor apply_atoms(const AtomMaps& maps, const Tensor& atoms) { return convolve(maps.maps, atoms, maps.pending); }

}  // namespace fewatoms
