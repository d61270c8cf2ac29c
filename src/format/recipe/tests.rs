//! Tests of recipes: round trips, trees that share nodes, the worked example, hostile bytes.

use proptest::prelude::*;

use super::*;

fn chunk(number: u64) -> ChunkRef {
    let len = 16_384 + u32::try_from(number % 1000).unwrap();
    ChunkRef { id: ChunkId::of(&number.to_le_bytes()), len, cut: Cut::Content }
}

fn digest() -> ContentDigest {
    ContentDigest::of(b"whole")
}

#[test]
fn inline_content_comes_back_and_must_match_its_digest() {
    for content in [b"".to_vec(), b"x".to_vec(), vec![7; MAX_INLINE_LEN]] {
        let recipe = Recipe::inline(content.clone());
        let bytes = recipe.to_bytes();
        let back = Recipe::from_bytes(&bytes).unwrap();
        assert_eq!(back, recipe);
        assert_eq!(back.body(), &RecipeBody::Inline(content));
        let mut wrong = bytes;
        wrong[20] ^= 1;
        assert!(Recipe::from_bytes(&wrong).is_err());
    }
}

#[test]
fn a_long_content_becomes_a_tree_whose_nodes_hold_all_chunks_in_order() {
    let chunks: Vec<_> = (0..5000).map(chunk).collect();
    let (recipe, nodes) = Recipe::of_chunks(digest(), 1, chunks.clone());
    let joined: Vec<_> = nodes.iter().flat_map(|node| node.chunks().iter().copied()).collect();
    assert_eq!(joined, chunks);
    let RecipeBody::Tree(children) = recipe.body() else { panic!("5000 chunks make a tree") };
    assert_eq!(
        children.iter().map(|child| child.node).collect::<Vec<_>>(),
        nodes.iter().map(RecipeNode::id).collect::<Vec<_>>()
    );
    assert_eq!(Recipe::from_bytes(&recipe.to_bytes()).as_ref(), Ok(&recipe));
    for node in &nodes {
        assert_eq!(RecipeNode::from_bytes(&node.to_bytes()).as_ref(), Ok(node));
        assert!(Recipe::from_bytes(&node.to_bytes()).is_err());
        assert!(node.chunks().len() <= MAX_NODE_CHUNKS);
    }
}

/// Chunks whose ids all end a node, so that the tree has as many nodes as it can.
fn worst_tree(count: usize) -> (Recipe, Vec<RecipeNode>) {
    let id = ChunkId::from_bytes([0; 32]);
    let (recipe, nodes) = Recipe::of_chunks(digest(), 1, vec![ChunkRef { id, len: 16_384, cut: Cut::Content }; count]);
    assert_eq!(nodes.len(), count.div_ceil(MIN_NODE_CHUNKS));
    let bytes = recipe.to_bytes();
    assert!(bytes.len() <= MAX_OBJECT_LEN);
    assert_eq!(Recipe::from_bytes(&bytes).as_ref(), Ok(&recipe));
    (recipe, nodes)
}

#[test]
fn a_recipe_of_very_many_chunks_stays_within_the_limits() {
    // The slow suite takes the ten million that a terabyte has.
    let count = if cfg!(feature = "slow") { 10_000_000 } else { 300_000 };
    let (recipe, nodes) = worst_tree(count);
    assert_eq!(recipe.len(), nodes.iter().map(|node| node.to_child().len).sum::<u64>());
}

#[test]
fn versions_share_all_nodes_but_the_changed_one_and_its_neighbour() {
    let mut chunks: Vec<_> = (0..20_000).map(chunk).collect();
    let (_, before) = Recipe::of_chunks(digest(), 1, chunks.clone());
    chunks.insert(9_000, chunk(1_000_000));
    let (_, after) = Recipe::of_chunks(digest(), 1, chunks);
    let known: std::collections::HashSet<_> = before.iter().map(RecipeNode::id).collect();
    let fresh = after.iter().filter(|node| !known.contains(&node.id())).count();
    assert!(before.len() > 20, "{} nodes", before.len());
    assert!((1..=3).contains(&fresh), "{fresh} new nodes");
}

#[test]
fn a_thousand_chunks_are_flat_and_one_more_is_a_tree() {
    let flat = Recipe::of_chunks(digest(), 1, (0..1000).map(chunk).collect());
    assert!(matches!(flat.0.body(), RecipeBody::Flat(_)) && flat.1.is_empty());
    let tree = Recipe::of_chunks(digest(), 1, (0..1001).map(chunk).collect());
    assert!(matches!(tree.0.body(), RecipeBody::Tree(_)) && !tree.1.is_empty());
}

#[test]
fn newer_versions_wrong_sums_and_huge_counts_are_refused() {
    let (recipe, _) = Recipe::of_chunks(digest(), 1, vec![chunk(1), chunk(2)]);
    let bytes = recipe.to_bytes();
    let change = |at: usize, byte: u8| {
        let mut bytes = bytes.clone();
        bytes[at] = byte;
        Recipe::from_bytes(&bytes)
    };
    assert!(matches!(change(4, 2), Err(FormatError::TooNew { found: 2, .. })));
    assert!(change(8, 0).is_err(), "another total length");
    assert!(change(51, 255).is_err(), "a count of 4 billion");
    assert!(change(5, 9).is_err(), "an unknown kind");
    assert!(change(6, 0).is_err(), "chunks without a chunker");
    for len in 0..bytes.len() {
        assert!(Recipe::from_bytes(&bytes[..len]).is_err(), "cut at {len}");
    }
}

#[test]
fn the_page_about_recipes_shows_a_recipe_that_decodes() {
    let page = include_str!("../../../docs/format/recipe.md");
    let content: [&[u8]; 2] = [b"first chunk\n", b"last\n"];
    let cuts = [Cut::Content, Cut::End];
    let chunks = content.iter().zip(cuts).map(|(bytes, cut)| ChunkRef {
        id: ChunkId::of(bytes),
        len: u32::try_from(bytes.len()).unwrap(),
        cut,
    });
    let (recipe, _) = Recipe::of_chunks(ContentDigest::of(&content.concat()), 1, chunks.collect());
    assert_eq!(crate::format::bytes::hex_of_page(page), recipe.to_bytes());
    assert_eq!(Recipe::from_bytes(&recipe.to_bytes()).as_ref(), Ok(&recipe));
    assert!(page.contains(&recipe.id().to_string()));
}

proptest! {
    #[test]
    fn recipes_come_back(numbers in prop::collection::vec(any::<u64>(), 1..1500), chunker in 1..=255_u8) {
        let (recipe, nodes) = Recipe::of_chunks(digest(), chunker, numbers.iter().copied().map(chunk).collect());
        let bytes = recipe.to_bytes();
        let back = Recipe::from_bytes(&bytes).unwrap();
        prop_assert_eq!(back.to_bytes(), bytes);
        prop_assert_eq!(back.len(), recipe.len());
        prop_assert_eq!(back.chunker(), chunker);
        for node in nodes {
            prop_assert_eq!(RecipeNode::from_bytes(&node.to_bytes()), Ok(node));
        }
    }

    #[test]
    fn garbage_and_flipped_bytes_never_panic(at in any::<prop::sample::Index>(), byte in any::<u8>(), tail in prop::collection::vec(any::<u8>(), 0..60)) {
        let (recipe, _) = Recipe::of_chunks(digest(), 1, (0..3).map(chunk).collect());
        let mut bytes = recipe.to_bytes();
        bytes.extend_from_slice(&tail);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(found) = Recipe::from_bytes(&bytes) {
            prop_assert_eq!(&found.to_bytes(), &bytes);
        }
        let _ = RecipeNode::from_bytes(&bytes);
    }
}
