//! Paying out on a chain: the Merkle tree of OpenZeppelin and Morpho over what was claimed to addresses.
use crate::error::{call, check, Result};
use crate::{sys, Context, Hash};

/// Who may claim how much of which token; `claimable` is big-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// Who.
    pub account: [u8; 20],
    /// Of which token.
    pub reward: [u8; 20],
    /// How much, ever.
    pub claimable: [u8; 32],
}

impl Leaf {
    fn raw(&self) -> sys::plr_settlement_leaf {
        sys::plr_settlement_leaf { account: self.account, reward: self.reward, claimable: self.claimable }
    }

    pub(super) fn of(raw: sys::plr_settlement_leaf) -> Leaf {
        Leaf { account: raw.account, reward: raw.reward, claimable: raw.claimable }
    }
}

/// Keccak-256, as Ethereum pads it.
pub fn keccak256(data: &[u8]) -> Hash {
    let mut out = Hash::default();
    // Safety: reads `data`, writes 32 bytes.
    unsafe { sys::plr_keccak256(data.as_ptr().cast(), data.len(), out.as_mut_ptr()) };
    out
}

fn raw_of(leaves: &[Leaf]) -> Vec<sys::plr_settlement_leaf> {
    leaves.iter().map(Leaf::raw).collect()
}

/// Root of the tree over the leaves, in any order. `INVALID_ARGUMENT`: there are none.
pub fn root(context: &Context, leaves: &[Leaf]) -> Result<Hash> {
    let (raw, mut out) = (raw_of(leaves), Hash::default());
    // Safety: a live context; the leaves are read, 32 bytes written.
    call(|err| unsafe {
        sys::plr_settlement_compute(context.as_ptr(), raw.as_ptr(), raw.len(), out.as_mut_ptr(), err)
    })?;
    Ok(out)
}

/// Siblings from leaf `index` up to the root. `INVALID_ARGUMENT`.
pub fn prove(context: &Context, leaves: &[Leaf], index: usize) -> Result<Vec<Hash>> {
    let raw = raw_of(leaves);
    let mut proof = vec![Hash::default(); sys::PLR_PROOF_MAX as usize];
    let mut count = 0;
    // Safety: a live context; the leaves are read, at most PLR_PROOF_MAX hashes written.
    call(|err| unsafe {
        let (ctx, out) = (context.as_ptr(), proof.as_mut_ptr().cast());
        sys::plr_settlement_prove(ctx, raw.as_ptr(), raw.len(), index, out, &mut count, err)
    })?;
    proof.truncate(count as usize);
    Ok(proof)
}

/// `PROOF`: the leaf is not in the tree of that root.
pub fn verify(leaf: &Leaf, proof: &[Hash], root: &Hash) -> Result<()> {
    let count = u32::try_from(proof.len()).unwrap_or(u32::MAX);
    // Safety: reads the leaf, the hashes and the root.
    check(unsafe { sys::plr_settlement_verify(&leaf.raw(), proof.as_ptr().cast(), count, root.as_ptr()) })
}
